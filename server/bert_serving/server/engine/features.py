"""Texts to rows of token ids, and rows to the arrays of one micro-batch. No TensorFlow.

A text, or a pair from "a ||| b" (or from the token "|||" in a tokenized text), between special tokens: see `template`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, cast

import numpy as np

from bert_serving.server.engine.contract import Row, Texts
from bert_serving.server.engine.tokenization import TextTokenizer, UnknownToken

IntArray = np.ndarray[Any, np.dtype[np.int32]]

PADDING, VISIBLE, HIDDEN, PROMPT = 0, 1, 2, 3
"""Values of a micro-batch's mask. HIDDEN is a special token under `-mask_cls_sep`. Of a PROMPT that is not included,
attention sees the tokens and pooling does not."""

_SEPARATOR = "|||"
_PAIR_SEPARATOR = f" {_SEPARATOR} "
_NOT_UNICODE = "the text is not valid Unicode: it has half of a surrogate pair"
_STEP = 1 << 16  # characters or token ids that are looked at in one go
ROW_STEP, TOKEN_STEP = 8, 16
_FEWEST_TOKENS = 16  # of a row with a fixed shape
_NO_TOKENS = "the text has no tokens, and -no_special_token adds none"
_NOTHING = "the text has no tokens, and the model's tokenizer adds none"

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
    """Makes rows of texts, of at most `limit` tokens. Without `include_prompt`, pooling leaves prompts out."""

    def __init__(
        self, tokenizer: TextTokenizer, limit: int, *, no_special_token: bool = False, include_prompt: bool = True
    ) -> None:
        self._tokenizer = tokenizer
        self._limit = limit
        self._enough = limit + 1  # tokens of a text: what follows them neither stays nor changes where a pair is cut
        self._no_special_token = no_special_token
        self._include_prompt = include_prompt

    def rows(self, texts: Texts, prompt: str = "") -> list[Row | str]:
        """A row for each text, or a sentence that says why there is none.

        The prompt stands before each string, of a pair before its first text; tokens and token ids have none.
        """
        split = _split_as_written if self._tokenizer.library_pairs else _split
        plain = {index: split(text) for index, text in enumerate(texts) if isinstance(text, str) and _is_unicode(text)}
        plain = {index: (prompt + first, second) for index, (first, second) in plain.items()}
        ids = iter(self._tokenizer.first_ids([side for sides in plain.values() for side in sides], self._enough))
        plain_ids = {index: (next(ids), next(ids)) for index in plain}
        left_out = 0 if self._include_prompt or not prompt else self._length_of(prompt)
        return [
            self._tokenized_row(cast(Sequence[str], text))
            if not isinstance(text, str)
            else self._prompted(self._row(plain_ids[index], partial(self._lengths, plain[index])), left_out)
            if index in plain_ids
            else _NOT_UNICODE
            for index, text in enumerate(texts)
        ]

    def _lengths(self, sides: tuple[str, str]) -> tuple[int, int]:
        """How many tokens both sides have, all of them."""
        first, second = self._tokenizer.encode(sides)
        return len(first), len(second)

    def _length_of(self, prompt: str) -> int:
        """How many tokens a prompt has: those of a row with it alone, but for the special ones at the end."""
        ids = self._tokenizer.first_ids([prompt], self._enough)[0]
        template = self._tokenizer.single
        return len(template.gaps[0]) + min(len(ids), max(0, self._limit - template.size))

    def _prompted(self, row: Row | str, prompt: int) -> Row | str:
        """The row, with so many tokens of a prompt left out; fewer where a text goes on in its prompt's last word."""
        if not prompt or isinstance(row, str):
            return row
        return replace(row, prompt=min(prompt, row.length - 1))  # one is always left to pool

    def _tokenized_row(self, tokens: Sequence[str] | Sequence[int]) -> Row | str:
        try:
            sides = self._sides(tokens)
        except UnknownToken as error:
            return f"the vocabulary has no token {str(error)!r}, and no unknown token to put in its place"
        if isinstance(sides, str):
            return sides
        if not self._no_special_token or sides[1]:
            return self._row(sides, lambda: _token_counts(cast(Sequence[str], tokens)))
        ids = sides[0][: self._limit]
        return Row(ids, len(ids), (), truncated=len(sides[0]) > len(ids)) if ids else _NO_TOKENS

    def _sides(self, tokens: Sequence[str] | Sequence[int]) -> Sides | str:
        if not tokens or not isinstance(tokens[0], int):
            first, second = _split_tokens(cast(Sequence[str], tokens), self._enough)
            return self._tokenizer.ids(first), self._tokenizer.ids(second)
        ids = cast(Sequence[int], tokens)
        strange = self._strange_id(ids)
        if strange is not None:
            return f"the vocabulary has the token ids 0 to {self._tokenizer.size - 1}, and not {strange}"
        return list(ids[: self._enough]), []

    def _strange_id(self, ids: Sequence[int]) -> int | None:
        """The first id that is no token's."""
        size, gaps = self._tokenizer.size, self._tokenizer.has_gaps
        for begin in range(0, len(ids), _STEP):
            some = ids[begin : begin + _STEP]
            if gaps or min(some) < 0 or max(some) >= size:
                found = next((index for index in some if not self._tokenizer.is_token(index)), None)
                if found is not None:
                    return found
        return None

    def _row(self, sides: Sides, lengths: Callable[[], tuple[int, int]]) -> Row | str:
        """`lengths` tells how many tokens the sides have beyond those that are here."""
        first, second = sides
        template = self._tokenizer.pair if second else self._tokenizer.single
        room = max(0, self._limit - template.size)
        if not second:
            kept = first[:room]
            return template.row([kept], truncated=len(kept) < len(first)) if kept or template.size else _NOTHING
        library = self._tokenizer.library_pairs
        numbers = len(first), len(second)
        if library and room % 2 and min(numbers) == self._enough:
            numbers = lengths()
        kept_first, kept_second = _lengths(*numbers, room, library=library)
        texts = [first[:kept_first], second[:kept_second]]
        if not kept_second and not library:
            return self._tokenizer.single.row(texts[:1], truncated=True)
        return template.row(texts, truncated=sum(map(len, texts)) < len(first) + len(second))


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
    """Both sides of a pair: one line, cut at its last separator. Or the text, and nothing."""
    text = text.strip()
    first, separator, second = ("", "", "") if "\n" in text else text.rpartition(_PAIR_SEPARATOR)
    return (first, second) if separator else (text, "")


def _split_as_written(text: str) -> tuple[str, str]:
    """As `_split`, and the blanks around the text stay, which some tokenizers heed."""
    stripped = text.strip()
    first, second = _split(stripped)
    if not second and len(first) == len(stripped):
        return text, ""
    begin = text.index(stripped)
    return text[:begin] + first, second + text[begin + len(stripped) :]


def _token_counts(tokens: Sequence[str]) -> tuple[int, int]:
    """How many tokens both sides of a tokenized pair have."""
    index = tokens.index(_SEPARATOR)
    return index, len(tokens) - index - 1


def _split_tokens(tokens: Sequence[str], number: int) -> tuple[Sequence[str], Sequence[str]]:
    """The first `number` tokens of each side, cut at the first separator."""
    try:
        index = tokens.index(_SEPARATOR)
    except ValueError:
        return tokens[:number], ()
    return tokens[: min(index, number)], tokens[index + 1 : index + 1 + number]


def _lengths(first: int, second: int, room: int, *, library: bool) -> tuple[int, int]:
    """How many tokens stay of each side of a pair, so that both fit: the longer side loses a token at a time.

    When both are as long, Google's code takes from the second. Hugging Face's `tokenizers` gives the last odd token to
    the side that was longer, and to the second one if none was.
    """
    excess = max(0, first + second - room)
    # first the longer side comes down to the other's length, then they lose tokens in turn
    head_start = first - second
    from_first = min(excess, max(0, head_start))
    from_second = min(excess, max(0, -head_start))
    left = excess - from_first - from_second
    more, less = left - left // 2, left // 2
    if library and left and head_start <= 0:
        more, less = less, more
    return first - from_first - less, second - from_second - more


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
    if any(row.prompt for row in rows):
        for number, row in enumerate(rows):
            mask[number, : row.prompt] = PROMPT
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
