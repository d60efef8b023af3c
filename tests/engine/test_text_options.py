"""How a request wants its texts: cut elsewhere, in chunks, as pairs, behind a prompt, with offsets."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from architectures import tiny
from hypothesis import given, settings
from hypothesis import strategies as st

from bert_serving.server.engine.contract import Chunks, Row
from bert_serving.server.engine.features import MOST_CHUNKS, FeatureMaker
from bert_serving.server.engine.sides import LEAST_END
from bert_serving.server.engine.tokenization import TextTokenizer
from bert_serving.server.engine.word_piece import Normalization, word_piece
from bert_serving.server.wanted import TextOptions

VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "a", "b", "c", "##c", "|", "query", ":", "long", "##er", "##est"]
CLS, SEP, A, B, C = 2, 3, 4, 5, 6
GOOGLE = TextTokenizer(word_piece(VOCABULARY, Normalization(lowercase=True)))
KINDS = ["google", "roberta", "xlm_roberta", "cross_bert", "mpnet"]
TEXT = "The quick brown fox, which is  lazier than it looks, jumps over two sleeping dogs and a hedgehog. " * 4
words = st.lists(st.sampled_from(["a", "b", "cc", "longer", "longest", "x", "a,b", "\u4f60", "Caf\u00e9"]), max_size=60)


def tokenizer(kind: str) -> TextTokenizer:
    return GOOGLE if kind == "google" else tiny(kind)


def row(kind: str, text: Any, limit: int, **how: Any) -> Row:
    (made,) = FeatureMaker(tokenizer(kind), limit).rows([text], TextOptions(**how))
    assert isinstance(made, Row), made
    return made


def chunks(kind: str, text: str, limit: int, **how: Any) -> Chunks:
    (made,) = FeatureMaker(tokenizer(kind), limit).made([text], TextOptions(truncate="chunks", **how))
    assert isinstance(made, Chunks), made
    return made


# -- left, error ------------------------------------------------------------------------------------------------------


def test_left_keeps_the_end() -> None:
    assert row("google", "a b c", 4, truncate="left") == Row([CLS, B, C, SEP], 4, (0, 3), truncated=True)
    assert row("google", "a b c", 5, truncate="left") == row("google", "a b c", 5)
    assert row("google", ["a", "b", "c"], 4, truncate="left") == Row([CLS, B, C, SEP], 4, (0, 3), truncated=True)
    assert row("google", [A, B, C], 4, truncate="left") == Row([CLS, B, C, SEP], 4, (0, 3), truncated=True)


@pytest.mark.parametrize("kind", KINDS)
def test_left_keeps_the_last_tokens_of_the_whole_text(kind: str) -> None:
    (ids,) = tokenizer(kind).encode([TEXT])
    found = row(kind, TEXT, 20, truncate="left")
    kept = [index for place, index in enumerate(found.ids) if place not in found.special]
    assert kept == ids[-len(kept) :]
    assert found.length == 20
    assert found.truncated


@pytest.mark.parametrize("kind", KINDS)
def test_of_a_very_long_text_an_end_alone_is_looked_at(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    one = tokenizer(kind)
    seen: list[int] = []
    encode = one.encode

    def seeing(texts: Any) -> Any:
        seen.extend(map(len, texts))
        return encode(texts)

    monkeypatch.setattr(one, "encode", seeing)
    found = row(kind, "word " * 100_000 + TEXT, 20, truncate="left")
    assert found == row(kind, "word " + TEXT, 20, truncate="left")
    assert max(seen) <= LEAST_END


def test_left_keeps_the_prompt() -> None:
    found = row("google", "a b c a b c", 7, truncate="left", prompt="query: ")
    assert found == Row([CLS, 9, 10, A, B, C, SEP], 7, (0, 6), truncated=True)
    whole = row("google", "a b c", 7, truncate="left", prompt="query: ")
    assert whole == row("google", "a b c", 7, prompt="query: ")


@pytest.mark.parametrize("text", ["a ||| b", ["a", "|||", "b"]], ids=str)
def test_of_a_pair_no_beginning_is_cut(text: Any) -> None:
    (made,) = FeatureMaker(GOOGLE, 9).rows([text], TextOptions(truncate="left"))
    assert made == "a pair cannot be cut on the left: use truncate 'right'"


@pytest.mark.parametrize("text", ["a b c", ["a", "b", "c"], [A, B, C], "a ||| b"], ids=str)
def test_error_refuses_what_is_too_long(text: Any) -> None:
    how = TextOptions(truncate="error")
    (made,) = FeatureMaker(GOOGLE, 4).rows([text], how)
    assert made == "the text has more than 4 tokens, and truncate is 'error': send a shorter one"
    assert FeatureMaker(GOOGLE, 5).rows([text], how) == FeatureMaker(GOOGLE, 5).rows([text])
    (made,) = FeatureMaker(GOOGLE, 2, no_special_token=True).rows([["a", "b", "c"]], how)
    assert made == "the text has more than 2 tokens, and truncate is 'error': send a shorter one"


# -- pairs ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_a_pair_of_two_is_what_the_separator_makes(kind: str) -> None:
    assert row(kind, ["the fox", "two dogs"], 30, is_pair=True) == row(kind, "the fox ||| two dogs", 30)
    inner = row(kind, ["a ||| b", "c\nd"], 30, is_pair=True)  # no separator counts, nor the end of a line
    assert inner.length > row(kind, "a ||| c", 30).length


def test_second_keeps_the_first_text_whole_where_it_can() -> None:
    def kept(first: str, second: str, limit: int) -> Row:
        return row("google", [first, second], limit, is_pair=True, truncate="second")

    assert kept("a a a", "b b b b", 8) == Row([CLS, A, A, A, SEP, B, B, SEP], 5, (0, 4, 7), truncated=True)
    assert kept("a a a", "b", 8) == row("google", "a a a ||| b", 8)
    assert kept("a a a a a a", "b b", 8) == Row([CLS, A, A, A, A, SEP, B, SEP], 6, (0, 5, 7), truncated=True)


@pytest.mark.parametrize("pair", ["a", ["a"], ["a", "b", "c"], ["a", 5], [4, 5], ["a", "\ud800"], []], ids=ascii)
def test_what_is_no_pair(pair: Any) -> None:
    (made,) = FeatureMaker(GOOGLE, 9).rows([pair], TextOptions(is_pair=True))
    assert isinstance(made, str)
    assert "pair" in made


@pytest.mark.parametrize(
    ("how", "option"), [({"prompt": "q: ", "names_prompt": True}, "prompt"), ({"offsets": True}, "offsets")]
)
def test_what_is_for_texts_is_not_for_tokens(how: dict[str, Any], option: str) -> None:
    tokens: list[Any] = [["a"], [A]]
    for one in tokens:
        made = FeatureMaker(GOOGLE, 9).rows([one], TextOptions(**how))
        assert made == [f"{option} is for texts, but this is a list of tokens: omit it"]


# -- offsets ----------------------------------------------------------------------------------------------------------


def shown(text: str, found: Row) -> list[str]:
    return [text[begin:end] for begin, end in found.offsets]


def test_offsets_are_characters_of_the_text() -> None:
    text = "  a longest b"
    found = row("google", text, 12, offsets=True)
    assert shown(text, found) == ["", "a", "long", "est", "b", ""]
    assert shown(text, row("google", text, 12, offsets=True, prompt="query: ")) == [
        "",
        "",
        "",
        *["a", "long", "est", "b"],
        "",
    ]
    left = row("google", text, 4, offsets=True, truncate="left")
    assert shown(text, left) == ["", "est", "b", ""]
    prompted = row("google", text, 6, offsets=True, truncate="left", prompt="query: ")
    assert shown(text, prompted) == ["", "", "", "est", "b", ""]
    assert row("google", text, 12).offsets == ()


def test_offsets_of_pairs() -> None:
    text = " a b ||| longer c"
    assert shown(text, row("google", text, 12, offsets=True)) == ["", "a", "b", "", "long", "er", "c", ""]
    found = row("google", ["a b", "longer"], 12, offsets=True, is_pair=True)
    assert found.offsets == ((0, 0), (0, 1), (2, 3), (0, 0), (0, 4), (4, 6), (0, 0))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("truncate", ["right", "left"])
def test_offsets_are_the_librarys(kind: str, truncate: str) -> None:
    encoding = tokenizer(kind).encoding(TEXT)
    found = row(kind, TEXT, 16, offsets=True, truncate=truncate)
    kept = [span for place, span in enumerate(found.offsets) if place not in found.special]
    expected = encoding.offsets[-len(kept) :] if truncate == "left" else encoding.offsets[: len(kept)]
    assert kept == expected
    assert all(found.offsets[place] == (0, 0) for place in found.special)


# -- chunks -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_each_chunk_is_as_if_it_were_sent_alone(kind: str) -> None:
    found = chunks(kind, TEXT, 20)
    assert len(found.rows) > 2
    assert not found.truncated
    for one, (begin, end) in zip(found.rows, found.spans, strict=True):
        assert one == row(kind, TEXT[begin:end], 20)
        assert not one.truncated
    ends = [end for _, end in found.spans]
    assert ends == sorted(ends)
    assert TEXT[found.spans[-1][1] :].isspace() or found.spans[-1][1] == len(TEXT)
    for (_, end), (begin, _) in zip(found.spans, found.spans[1:], strict=False):
        assert TEXT[end:begin].strip() == ""  # nothing is left out between them
        assert not (TEXT[end - 1].isalnum() and TEXT[end].isalnum())  # and no word is cut


@given(words, st.integers(4, 12))
@settings(max_examples=60)
def test_chunks_have_all_tokens_of_the_text(some: list[str], limit: int) -> None:
    text = " ".join(some)
    (made,) = FeatureMaker(GOOGLE, limit).made([text], TextOptions(truncate="chunks"))
    whole = row("google", text, 10_000)
    if isinstance(made, Row):
        assert made == whole
        return
    assert isinstance(made, Chunks)
    ids = [index for one in made.rows for index in one.ids[1:-1]]
    assert ids == whole.ids[1:-1]
    assert max(one.length for one in made.rows) <= limit


def test_a_word_longer_than_a_chunk_is_cut() -> None:
    found = chunks("google", "longerest", 4)
    assert found.rows[0].length == 4
    assert found.spans[0] == (0, 6)


def test_at_most_so_many_chunks() -> None:
    found = chunks("google", "a " * (2 * MOST_CHUNKS + 1), 4)
    assert len(found.rows) == MOST_CHUNKS
    assert found.truncated
    assert not chunks("google", "a " * (2 * MOST_CHUNKS), 4).truncated
    assert chunks("google", "a" + " " * 1_000_000 + "b", 4).truncated  # what is not looked at


def test_each_chunk_has_the_prompt_and_the_places_in_the_text() -> None:
    text = "a b c a"
    found = chunks("google", text, 6, prompt="query: ", offsets=True)
    assert [one.ids for one in found.rows] == [[CLS, 9, 10, A, B, SEP], [CLS, 9, 10, C, A, SEP]]
    assert [shown(text, one) for one in found.rows] == [["", "", "", "a", "b", ""], ["", "", "", "c", "a", ""]]
    assert found.spans == ((0, 3), (4, 7))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (["a"], "a list of tokens cannot be cut into chunks"),
        ("a ||| b", "a pair cannot be cut into chunks"),
        ("\ud800", "the text is not valid Unicode"),
    ],
    ids=ascii,
)
def test_what_cannot_be_cut_into_chunks(text: Any, says: str) -> None:
    (made,) = FeatureMaker(GOOGLE, 9).made([text], TextOptions(truncate="chunks"))
    assert isinstance(made, str)
    assert made.startswith(says)
    (made,) = FeatureMaker(GOOGLE, 4).made(["a"], TextOptions("query: ", "chunks"))
    assert isinstance(made, str)
    assert made.startswith("the prompt leaves no room")


def test_a_short_text_is_one_chunk_and_nothing_is_a_row() -> None:
    found = chunks("google", "a b", 9)
    assert found == Chunks((row("google", "a b", 9),), ((0, 3),))
    (made,) = FeatureMaker(GOOGLE, 9).made([" "], TextOptions(truncate="chunks"))
    assert made == row("google", " ", 9)
    assert replace(found, truncated=True) != found
