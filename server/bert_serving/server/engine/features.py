"""Texts to rows of token ids, and rows to the arrays of one micro-batch. No TensorFlow.

one text        [CLS] a ... [SEP]
a pair          [CLS] a ... [SEP] b ... [SEP]       from "a ||| b", or from the token "|||" in a tokenized text
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np

from bert_serving.server.engine.contract import Row, Texts
from bert_serving.server.engine.tokenization import TextTokenizer

IntArray = np.ndarray[Any, np.dtype[np.int32]]

PADDING, VISIBLE, HIDDEN = 0, 1, 2
"""Values of a micro-batch's mask. HIDDEN is a special token under `-mask_cls_sep`."""

_SEPARATOR = "|||"
_PAIR_SEPARATOR = f" {_SEPARATOR} "
_NOT_UNICODE = "the text is not valid Unicode: it has half of a surrogate pair"
_STEP = 1 << 16  # characters or token ids that are looked at in one go
ROW_STEP, TOKEN_STEP = 8, 16
_FEWEST_TOKENS = 16  # of a row with a fixed shape
_COMPARED = 16
"""Of which of two long texts is the longer one, so many times the limit are looked at: beyond, both count as alike."""
_NO_TOKENS = "the text has no tokens, and -no_special_token adds none"

Sides = tuple[list[int], list[int]]
"""Ids of the first and of the second text; without a second one, the latter is empty."""
Shape = tuple[int, int]
"""Rows and tokens of a micro-batch."""


@dataclass(frozen=True, slots=True)
class MicroBatch:
    """What one run of the graph takes: int32 arrays `[B, T]`, T being at least the length of the longest row."""

    ids: IntArray
    type_ids: IntArray
    mask: IntArray


class FeatureMaker:
    """Makes rows of texts, of at most `limit` tokens."""

    def __init__(self, tokenizer: TextTokenizer, limit: int, *, no_special_token: bool = False) -> None:
        self._tokenizer = tokenizer
        self._limit = limit
        self._enough = limit + 1  # tokens of a text: what follows them neither stays nor changes where a pair is cut
        self._no_special_token = no_special_token

    def rows(self, texts: Texts) -> list[Row | str]:
        """A row for each text, or a sentence that says why there is none."""
        plain = {
            index: self._split(text) for index, text in enumerate(texts) if isinstance(text, str) and _is_unicode(text)
        }
        ids = iter(self._tokenizer.first_ids([side for sides in plain.values() for side in sides], self._enough))
        plain_ids = {index: self._compared(plain[index], (next(ids), next(ids))) for index in plain}
        return [
            self._tokenized_row(cast(Sequence[str], text))
            if not isinstance(text, str)
            else self._row(plain_ids[index])
            if index in plain_ids
            else _NOT_UNICODE
            for index, text in enumerate(texts)
        ]

    def _compared(self, texts: tuple[str, str], sides: Sides) -> Sides:
        """The same ids, or more of them where it matters which text of a pair is the longer one."""
        if not self._tokenizer.rules.even_pairs or min(map(len, sides)) < self._enough:
            return sides
        first, second = self._tokenizer.first_ids(texts, _COMPARED * self._limit)
        return first, second

    def _split(self, text: str) -> tuple[str, str]:
        return _split(text) if self._tokenizer.rules.strips else _split_pair(text)

    def _tokenized_row(self, tokens: Sequence[str] | Sequence[int]) -> Row | str:
        sides = self._sides(tokens)
        if isinstance(sides, str):
            return sides
        if not self._no_special_token or sides[1]:
            return self._row(sides)
        ids = sides[0][: self._limit]
        return Row(ids, len(ids), (), truncated=len(sides[0]) > len(ids)) if ids else _NO_TOKENS

    def _sides(self, tokens: Sequence[str] | Sequence[int]) -> Sides | str:
        if not tokens or not isinstance(tokens[0], int):
            number = _COMPARED * self._limit if self._tokenizer.rules.even_pairs else self._enough
            first, second = map(self._tokenizer.ids, _split_tokens(cast(Sequence[str], tokens), number))
            if isinstance(first, str) or isinstance(second, str):
                return first if isinstance(first, str) else cast(str, second)
            return first, second
        ids = cast(Sequence[int], tokens)
        strange = _strange_id(ids, self._tokenizer.size)
        if strange is not None:
            return f"the vocabulary has the token ids 0 to {self._tokenizer.size - 1}, and not {strange}"
        return list(ids[: self._enough]), []

    def _row(self, sides: Sides) -> Row:
        template = self._tokenizer.template
        if not sides[1]:
            first = sides[0][: max(0, self._limit - template.special)]
            ids = [*template.before, *first, *template.after]
            begin = len(template.before)
            special = (*range(begin), *range(begin + len(first), len(ids)))
            return Row(ids, len(ids), special, len(first) < len(sides[0]))
        cut = _cut_evenly if self._tokenizer.rules.even_pairs else _cut_as_google
        first, second = cut(sides, max(0, self._limit - template.pair_special))
        truncated = len(first) + len(second) < len(sides[0]) + len(sides[1])
        if not second:
            return replace(self._row((first, [])), truncated=truncated)
        ids = [*template.pair_before, *first, *template.between, *second, *template.pair_after]
        begin = len(template.pair_before)
        end, again = begin + len(first), begin + len(first) + len(template.between)
        special = (*range(begin), *range(end, again), *range(again + len(second), len(ids)))
        is_typed = template.is_typed and self._tokenizer.rules.feeds_types
        return Row(ids, again if is_typed else len(ids), special, truncated)


def _is_unicode(text: str) -> bool:
    if text.isascii():
        return True
    try:
        for begin in range(0, len(text), _STEP):
            text[begin : begin + _STEP].encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _split(text: str) -> tuple[str, str]:
    """Both sides of a pair, or the text and nothing, without blanks at the ends."""
    return _split_pair(text.strip())


def _split_pair(text: str) -> tuple[str, str]:
    """Both sides of a pair: one line, cut at its last separator. Or the text, and nothing."""
    first, separator, second = ("", "", "") if "\n" in text else text.rpartition(_PAIR_SEPARATOR)
    return (first, second) if separator else (text, "")


def _split_tokens(tokens: Sequence[str], number: int) -> tuple[Sequence[str], Sequence[str]]:
    """The first `number` tokens of each side, cut at the first separator."""
    try:
        index = tokens.index(_SEPARATOR)
    except ValueError:
        return tokens[:number], ()
    return tokens[: min(index, number)], tokens[index + 1 : index + 1 + number]


def _strange_id(ids: Sequence[int], size: int) -> int | None:
    """The first id that is none of a vocabulary of that size."""
    for begin in range(0, len(ids), _STEP):
        some = ids[begin : begin + _STEP]
        if min(some) < 0 or max(some) >= size:
            return next(index for index in some if not 0 <= index < size)
    return None


def _cut_as_google(sides: Sides, room: int) -> Sides:
    """Both texts of a pair, cut on the right to so many tokens.

    The longer one loses a token at a time, the second one on a tie, as in run_classifier.py of Google's BERT.
    """
    first, second = sides
    excess = max(0, len(first) + len(second) - room)
    # first the longer side comes down to the other's length, then they lose tokens in turn, the second one first
    head_start = len(first) - len(second)
    from_first = min(excess, max(0, head_start))
    from_second = min(excess, max(0, -head_start))
    left = excess - from_first - from_second
    from_first += left // 2
    from_second += left - left // 2
    return first[: len(first) - from_first], second[: len(second) - from_second]


def _cut_evenly(sides: Sides, room: int) -> Sides:
    """The same as the library `tokenizers` does it: an odd token is left to the text that was longer, else the second.

    See `LongestFirst` in https://github.com/huggingface/tokenizers, tokenizers/src/utils/truncation.rs.
    """
    first, second = sides
    if len(first) + len(second) <= room:
        return sides
    shorter = min(len(first), len(second), room // 2)
    longer = room - shorter
    is_first_longer = len(first) > len(second)
    return (first[:longer], second[:shorter]) if is_first_longer else (first[:shorter], second[:longer])


def collate(rows: Sequence[Row], *, mask_cls_sep: bool = False, shape: Shape | None = None) -> MicroBatch:
    """The arrays of a micro-batch, padded with zeros: to the longest row's length, or to a larger `shape` `(B, T)`."""
    lengths = np.zeros(shape[0] if shape else len(rows), np.int32)  # (B,)
    lengths[: len(rows)] = [row.length for row in rows]
    firsts = np.zeros_like(lengths)
    firsts[: len(rows)] = [row.first_length for row in rows]
    positions = np.arange(shape[1] if shape else lengths.max(initial=0), dtype=np.int32)  # (T,)
    real = positions < lengths[:, None]  # (B, T)
    ids = np.zeros(real.shape, np.int32)
    ids[real] = [index for row in rows for index in row.ids]
    mask = real.astype(np.int32)
    if mask_cls_sep:
        for number, row in enumerate(rows):
            mask[number, list(row.special)] = HIDDEN
    return MicroBatch(ids, (real & (positions >= firsts[:, None])).astype(np.int32), mask)


def common_shape(rows: int, tokens: int, longest: int) -> Shape:
    """A shape with some padding, at most `longest` tokens a row, so that the shapes of many batches are alike.

    oneDNN makes code for each new shape, and keeps it: with all of them a worker of a small model took twice the time
    and half as much memory again. Padding costs in attention alone. And sums over tokens are made in vectors of at
    most 16 floats: with whole ones and AVX-512, a text's numbers are the same bit by bit whatever else is in its batch.
    """
    return rows if rows <= 2 * ROW_STEP else _stepped(rows, ROW_STEP), min(longest, _stepped(tokens, TOKEN_STEP))


def fixed_shape(rows: int, tokens: int, longest: int) -> Shape:
    """A shape of powers of two, at most `longest` tokens a row: few shapes, where each costs a lot."""
    return _power_of_two(rows), max(tokens, min(longest, _power_of_two(max(tokens, _FEWEST_TOKENS))))


def _stepped(least: int, step: int) -> int:
    return -(-least // step) * step


def _power_of_two(least: int) -> int:
    return 1 << (least - 1).bit_length()
