"""A long text is read as far as it matters: the same rows as from the whole of it, in next to no time."""

from __future__ import annotations

import re
import sys
import time
import unicodedata
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bert_serving.server.engine import features, long_texts, sides
from bert_serving.server.engine.contract import Row
from bert_serving.server.engine.features import FeatureMaker
from bert_serving.server.engine.sides import _split, is_unicode
from bert_serving.server.engine.tokenization import TextTokenizer
from bert_serving.server.engine.word_piece import Normalization, word_piece

TOKENS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "a", "b", "##a", "##b", "|", "e", "é", "A", "!", "字", "##e", ".", "##字"]
OLD_PAIR = re.compile(r"^(.*) \|\|\| (.*)$")
PIECES = [
    *"ab Aé!|.字e\n\t\r\v\f\0\x1c\x85\xa0",
    *("ab" * 45, "b" * 101, "ab" * 70, "é" * 99, "\u0301" * 60, "\u200b" * 30, " " * 30, "字" * 20, "!" * 9),
    *(" ||| ", "|||", " |||", "||| ", "\n"),
    *("\u0301", "\u0323", "\u200b", "\u200d", "\ufffd", "\u2028", "\u3000", "\u2003", "\ufeff", "\ue000", "\u0378"),
    *("\u037e", "\u1fef", "\u0387", "\uff0c", "\u3002", "\u0964", "\u00ad", "\u0130", "\u212b", "\u1e9e", "\ufb01"),
    *("\U0001f600", "\U0001f468\u200d\U0001f469", "\U0001d165", "\u20dd", "\u0e33", "가", "\u1100", "\u0344", "\uf900"),
]
NASTY = st.lists(st.sampled_from(PIECES) | st.characters(exclude_categories=["Cs"]), max_size=40).map("".join)
NORMALIZATIONS = st.builds(
    Normalization, st.booleans(), st.sampled_from([None, True, False]), st.booleans(), st.booleans()
)


def tokenizer(normalization: Normalization | None = None) -> TextTokenizer:
    return TextTokenizer(word_piece(TOKENS, normalization or Normalization()))


class Whole(TextTokenizer):
    """Reads all of a text, as the server did before."""

    def first_ids(self, texts: Any, number: int) -> list[list[int]]:
        return self.encode(texts)


@settings(max_examples=2000)
@given(st.lists(NASTY, max_size=3), NORMALIZATIONS, st.integers(1, 40), st.integers(2, 60))
@example(["a" * 200 + "\u0301" * 200 + "b a"], Normalization(), 3, 16)
@example(["a b" * 9 + " " * 99], Normalization(), 40, 2)
def test_the_first_ids_are_those_of_the_whole_text(
    texts: list[str], normalization: Normalization, number: int, size: int
) -> None:
    cutting = tokenizer(normalization)
    whole = [ids[:number] for ids in cutting.encode(texts)]
    assert cutting._long_texts.first_ids(texts, number, size) == whole


@settings(max_examples=500)
@given(NASTY, NASTY, st.integers(3, 30), st.booleans(), st.integers(2, 60))
def test_rows_are_those_of_the_whole_text(first: str, second: str, limit: int, lowercase: bool, size: int) -> None:
    pipeline = word_piece(TOKENS, Normalization(lowercase))
    texts = [first, f"{first} ||| {second}", first * 20 + " ||| " + second * 30]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(long_texts, "LEAST_SLICE", size)
        patch.setattr(long_texts, "_CHARACTERS_A_TOKEN", 0)
        rows = FeatureMaker(TextTokenizer(pipeline), limit).rows(texts)
    assert rows == FeatureMaker(Whole(pipeline), limit).rows(texts)


@settings(max_examples=500)
@given(
    st.lists(st.sampled_from(["a", "b", "z", "|||"]), max_size=60)
    | st.lists(st.integers(-1, len(TOKENS)), max_size=60),
    st.integers(3, 20),
    st.booleans(),
)
def test_ready_tokens_give_the_rows_that_all_of_them_give(tokens: Any, limit: int, bare: bool) -> None:
    def rows(enough: int) -> list[Row | str]:
        maker = FeatureMaker(tokenizer(), limit, no_special_token=bare)
        maker._enough = enough
        return maker.rows([tokens])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(features, "STEP", 7)
        assert rows(limit + 1) == rows(sys.maxsize)
        strange = [index for index in tokens if isinstance(index, int) and not 0 <= index < len(TOKENS)]
        if strange:
            assert rows(limit + 1) == [f"the vocabulary has token ids 0 to {len(TOKENS) - 1}, not {strange[0]}"]


@settings(max_examples=1000)
@given(NASTY | st.text("a| \n\r", max_size=40))
def test_pairs_are_split_as_by_the_expression_of_1_10(text: str) -> None:
    found = OLD_PAIR.match(text.strip())
    assert _split(text) == ((found[1], found[2]) if found else (text.strip(), ""))


@given(st.text(st.characters(), max_size=50))
def test_text_is_unicode_if_it_can_be_encoded(text: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sides, "STEP", 7)
        assert is_unicode(text) == (not any("\ud800" <= character <= "\udfff" for character in text))


# -- the characters by which texts are cut, each asked of the library itself -------------------------------------------

CHARACTERS = [chr(code) for code in range(0x110000) if not 0xD800 <= code <= 0xDFFF]
VARIANTS = [
    Normalization(lowercase, accents, chinese, clean)
    for lowercase, accents in ((True, None), (False, False), (False, True))
    for chinese in (True, False)
    for clean in (True, False)
]


@pytest.mark.parametrize("normalization", VARIANTS, ids=str)
def test_characters_that_break_words_do_so_and_those_inside_do_not(normalization: Normalization) -> None:
    asked = tokenizer(normalization)
    normalize = asked._tokenizer.normalizer.normalize_str
    words = asked._tokenizer.pre_tokenizer.pre_tokenize_str
    for character in filter(asked._long_texts._break.match, CHARACTERS):
        assert normalize("a" + character + "\u0301a") == normalize("a") + normalize(character + "\u0301a")
        assert words(normalize("a" + character))[0][0] == normalize("a")
    for character in CHARACTERS:
        if long_texts._INSIDE.fullmatch(character):
            assert len(words(normalize("a" + character + "a"))) == 1, hex(ord(character))


@pytest.mark.parametrize("normalization", VARIANTS, ids=str)
def test_no_mark_passes_a_character_before_which_pieces_end(normalization: Normalization) -> None:
    normalize = tokenizer(normalization)._tokenizer.normalizer.normalize_str
    steady = [character for character in CHARACTERS if long_texts._stands_fast(character)]
    assert len(steady) > 80_000
    for character in steady:
        normalized = normalize(character)
        assert normalized, hex(ord(character))
        assert not unicodedata.combining(unicodedata.normalize("NFD", character)[0])


def test_all_marks_that_stay_are_known() -> None:
    def stays(character: str) -> bool:
        parts = unicodedata.normalize("NFD", character)
        return any(unicodedata.combining(part) and unicodedata.category(part) != "Mn" for part in parts)

    assert not [hex(ord(c)) for c in CHARACTERS if stays(c) and not long_texts._STAYING_MARKS.match(c)]


@pytest.mark.parametrize("size", range(8, 60))
def test_marks_that_stay_trade_places_as_in_the_whole_text(size: int) -> None:
    marks = "\U0001d16d\u0301\u200b\U0001d165", "\U0001d165\u0301\u200b\U0001d16d"
    pipeline = word_piece([*TOKENS, f"##{marks[0][0]}{marks[0][3]}", f"##{marks[0][3]}{marks[0][0]}"], Normalization())
    cutting = TextTokenizer(pipeline)
    texts = ["a" * number + mark + "b" for number in range(1, 80) for mark in marks]
    found = cutting._long_texts.first_ids(texts, 200, size)
    assert found == cutting.encode(texts)
    assert found[::2] == found[1::2]
    assert cutting.unk not in found[0]


# -- time -------------------------------------------------------------------------------------------------------------

SMALL = 1_000
LARGE = 3_000_000
HARD: dict[str, Callable[[int], Any]] = {
    "pairs and a second line": lambda number: "a ||| " * (number // 6) + "\nb",
    "pairs": lambda number: "a ||| " * (number // 6) + "b",
    "an honest text": lambda number: "one two three " * (number // 14),
    "one word": lambda number: "a" * number,
    "blanks": lambda number: "a" + " " * number + "b",
    "marks": lambda number: "a" + "\u0301" * number,
    "nothing that shows": lambda number: "a" + "\u200b" * number,
    "no spaces": lambda number: "字" * number,
    "punctuation": lambda number: "!" * number,
    "tokens": lambda number: ["a"] * number,
    "ids": lambda number: [4] * number,
}


@pytest.mark.parametrize("name", HARD)
def test_a_long_text_costs_no_more_than_reading_it(name: str) -> None:
    """Some hundred nanoseconds a character at most, where none can be left out. The old pairs took hours."""
    maker = FeatureMaker(tokenizer(), 512)
    text: Any = HARD[name](LARGE)
    maker.rows([HARD[name](SMALL)])
    begin_s = time.process_time()
    (row,) = maker.rows([text])
    spent_s = time.process_time() - begin_s
    assert isinstance(row, Row)
    begin_s = time.process_time()
    number = sum(1 for _ in text)
    looked_at_s = time.process_time() - begin_s
    assert spent_s < 12 * looked_at_s, f"{1e3 * spent_s:.0f} ms, and a look at {number} {1e3 * looked_at_s:.0f} ms"
