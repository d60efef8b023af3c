"""Rows and micro-batches: cutting, pairs, special tokens, text that is none."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bert_serving.server.engine.contract import Row
from bert_serving.server.engine.features import FeatureMaker
from bert_serving.server.engine.micro_batch import collate, common_shape, fixed_shape
from bert_serving.server.engine.sides import kept_lengths
from bert_serving.server.engine.tokenization import TextTokenizer
from bert_serving.server.engine.word_piece import Normalization, word_piece
from bert_serving.server.errors import StartError
from bert_serving.server.wanted import TextOptions

VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "a", "b", "c", "##b", "|", "e", "é", "A"]
CLS, SEP, A, B, C = 2, 3, 4, 5, 6


def maker(limit: int = 12, *, lowercase: bool = True, **options: bool) -> FeatureMaker:
    return FeatureMaker(TextTokenizer(word_piece(VOCABULARY, Normalization(lowercase))), limit, **options)


def row_of(features: FeatureMaker, text: str | list[str]) -> Row:
    (row,) = features.rows([text])
    assert isinstance(row, Row), row
    return row


@pytest.mark.parametrize(
    ("text", "ids", "first_length", "special"),
    [
        pytest.param("a b", [CLS, A, B, SEP], 4, (0, 3), id="single"),
        pytest.param("  a b\n", [CLS, A, B, SEP], 4, (0, 3), id="stripped"),
        pytest.param("a ||| b c", [CLS, A, SEP, B, C, SEP], 3, (0, 2, 5), id="pair"),
        pytest.param("a|||b", [CLS, A, 8, 8, 8, B, SEP], 7, (0, 6), id="no blanks, no pair"),
        pytest.param("a\nb ||| c", [CLS, A, B, 8, 8, 8, C, SEP], 8, (0, 7), id="no pair over a line's end"),
        pytest.param("a ||| \u0007", [CLS, A, SEP], 3, (0, 2), id="second without tokens"),
        pytest.param(["a", "zz"], [CLS, A, 1, SEP], 4, (0, 3), id="tokenized"),
        pytest.param(["a", "|||", "b", "|||"], [CLS, A, SEP, B, 1, SEP], 3, (0, 2, 5), id="tokenized pair"),
        pytest.param(["|||", "b"], [CLS, SEP, B, SEP], 2, (0, 1, 3), id="tokenized pair, first empty"),
        pytest.param("", [CLS, SEP], 2, (0, 1), id="empty"),
    ],
)
def test_row(text: str | list[str], ids: list[int], first_length: int, special: tuple[int, ...]) -> None:
    assert row_of(maker(), text) == Row(ids, first_length, special)


def test_truncation_is_told() -> None:
    assert row_of(maker(4), "a b c") == Row([CLS, A, B, SEP], 4, (0, 3), truncated=True)
    assert row_of(maker(5), "a b c") == Row([CLS, A, B, C, SEP], 5, (0, 4), truncated=False)
    assert row_of(maker(5), "a b ||| c") == Row([CLS, A, SEP, C, SEP], 3, (0, 2, 4), truncated=True)
    assert row_of(maker(4), "a ||| b") == Row([CLS, A, SEP], 3, (0, 2), truncated=True)


@given(st.lists(st.integers()), st.lists(st.integers(), min_size=1), st.integers(4, 20))
def test_pairs_are_cut_a_token_at_a_time(first: list[int], second: list[int], limit: int) -> None:
    left, right = list(first), list(second)
    while len(left) + len(right) > limit - 3:
        (left if len(left) > len(right) else right).pop()
    assert kept_lengths(len(first), len(second), limit - 3, library=False) == (len(left), len(right))


def test_no_special_token() -> None:
    features = maker(3, no_special_token=True)
    assert row_of(features, ["a", "b", "c", "a"]) == Row([A, B, C], 3, (), truncated=True)
    assert row_of(maker(no_special_token=True), ["a", "|||", "b"]) == Row([CLS, A, SEP, B, SEP], 3, (0, 2, 4))
    assert row_of(features, "a") == Row([CLS, A, SEP], 3, (0, 2))
    (problem,) = features.rows([[]])
    assert problem == "the text has no tokens, and -no_special_token adds none"


def test_a_text_that_is_no_unicode_fails_alone() -> None:
    good, bad, pair = maker().rows(["a", "b \ud800", "a ||| b"])
    assert isinstance(bad, str)
    assert "not valid Unicode" in bad
    assert good == row_of(maker(), "a")
    assert pair == row_of(maker(), "a ||| b")


def test_special_tokens_in_a_text_are_text() -> None:
    assert row_of(maker(), "[CLS]").ids == [CLS, 1, 1, 1, SEP]


@pytest.mark.parametrize(("lowercase", "ids"), [(True, [A, 9]), (False, [11, 10])])
def test_case_and_accents(lowercase: bool, ids: list[int]) -> None:
    assert row_of(maker(lowercase=lowercase), "A é").ids == [CLS, *ids, SEP]


def test_words_of_more_than_100_letters_are_unknown() -> None:
    assert row_of(maker(200), "a" + "b" * 99).length == 102
    assert row_of(maker(200), "a" + "b" * 100).ids == [CLS, 1, SEP]


def test_vocabulary_without_special_tokens() -> None:
    with pytest.raises(StartError, match=r"no \[SEP\]"):
        word_piece(["[UNK]", "[CLS]"], Normalization())


def test_collate() -> None:
    rows = [row_of(maker(), "a ||| b"), row_of(maker(), "a")]
    batch = collate(rows)
    assert batch.ids.tolist() == [[CLS, A, SEP, B, SEP], [CLS, A, SEP, 0, 0]]
    assert batch.type_ids.tolist() == [[0, 0, 0, 1, 1], [0, 0, 0, 0, 0]]
    assert batch.mask.tolist() == [[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]]
    assert {array.dtype.name for array in (batch.ids, batch.type_ids, batch.mask)} == {"int32"}


@pytest.mark.parametrize(
    ("shape", "longest", "fixed"),
    [((1, 1), 128, (1, 16)), ((3, 17), 128, (4, 32)), ((5, 100), 120, (8, 120)), ((8, 64), 64, (8, 64))],
)
def test_fixed_shapes_are_few(shape: tuple[int, int], longest: int, fixed: tuple[int, int]) -> None:
    assert fixed_shape(*shape, longest) == fixed


@pytest.mark.parametrize(
    ("shape", "longest", "common"),
    [((1, 7), 128, (1, 16)), ((3, 17), 128, (3, 32)), ((17, 60), 62, (24, 62)), ((24, 25), 40, (24, 32))],
)
def test_common_shapes_add_little(shape: tuple[int, int], longest: int, common: tuple[int, int]) -> None:
    assert common_shape(*shape, longest) == common


def test_a_larger_shape_is_padding_alone() -> None:
    rows = [row_of(maker(), "a ||| b"), row_of(maker(), "a")]
    exact, larger = collate(rows, mask_cls_sep=True), collate(rows, mask_cls_sep=True, shape=(4, 8))
    for name in ("ids", "type_ids", "mask"):
        array = getattr(larger, name)
        assert array.shape == (4, 8)
        np.testing.assert_array_equal(array[:2, :5], getattr(exact, name))
        assert array.sum() == array[:2, :5].sum()


def test_collate_hides_special_tokens() -> None:
    rows = [row_of(maker(), "a ||| b"), row_of(maker(), "")]
    assert collate(rows, mask_cls_sep=True).mask.tolist() == [[2, 1, 2, 1, 2], [2, 2, 0, 0, 0]]


def test_vocabulary_lines_end_at_line_feeds_alone(tmp_path: Path) -> None:
    from bert_serving.server.engine.word_piece import read_lines

    path = tmp_path / "vocab.txt"
    path.write_bytes("a\r\n\u2028\nb\n".encode())
    assert read_lines(path) == ["a", "", "b"]


@pytest.mark.parametrize(
    ("prompt", "text", "row"),
    [
        ("", "a", Row([CLS, A, SEP], 3, (0, 2))),
        ("c ", "a b", Row([CLS, C, A, B, SEP], 5, (0, 4), prompt=2)),
        ("c", "a", Row([CLS, 1, SEP], 3, (0, 2), prompt=2)),  # one word, and [SEP] is always left
        ("c c c ", "a b c", Row([CLS, C, C, C, A, B, C, SEP], 8, (0, 7), prompt=4)),
        ("c ", "a ||| b", Row([CLS, C, A, SEP, B, SEP], 4, (0, 3, 5), prompt=2)),
        ("c ||| c\n", "a", Row([CLS, C, 8, 8, 8, C, A, SEP], 8, (0, 7), prompt=6)),  # makes no pair
        ("c\n", "a ||| b", Row([CLS, C, A, SEP, B, SEP], 4, (0, 3, 5), prompt=2)),  # and hinders none
        ("c ", "", Row([CLS, C, SEP], 3, (0, 2), prompt=2)),
        ("c " * 9, "a", Row([CLS, C, C, C, C, C, C, SEP], 8, (0, 7), truncated=True, prompt=7)),
        ("c ", ["a", "b"], Row([CLS, A, B, SEP], 4, (0, 3))),  # tokens and ids have none
    ],
    ids=str,
)
def test_a_prompt_stands_before_each_text(prompt: str, text: str | list[str], row: Row) -> None:
    assert maker(8, include_prompt=False).rows([text], TextOptions(prompt)) == [row]
    assert maker(8).rows([text], TextOptions(prompt)) == [replace(row, prompt=0)]


def test_the_mask_tells_a_prompt_from_other_tokens() -> None:
    rows = [Row([CLS, C, A, SEP], 4, (0, 3), prompt=2), Row([CLS, A, SEP], 3, (0, 2))]
    assert collate(rows).mask.tolist() == [[3, 3, 1, 1], [1, 1, 1, 0]]
    assert collate(rows, mask_cls_sep=True).mask.tolist() == [[2, 3, 1, 2], [2, 1, 2, 0]]
