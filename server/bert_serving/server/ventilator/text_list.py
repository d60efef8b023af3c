"""A JSON list of texts, read in slices: checked and cut into parts, with no more of it as objects than one slice. Pure.

What a client sent is read where it lies. A slice ends at a comma between two texts where there is one, and is parsed
for the check alone; a text that is longer than a slice is read on in pieces. The parts for workers are the client's
own bytes. That the pieces are JSON is that the whole is: `[A]` and `[B]` make `[A,B]`, and a string that is cut between
two of its characters two strings.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from hashlib import blake2b
from itertools import chain
from typing import Any

import numpy as np

from bert_serving.client.errors import MalformedMessage

SLICE_BYTES = 1 << 15
"""Takes some milliseconds where they are shortest."""

_LEAST_PIECE = 16
"""Bytes of a long string that hold a whole character, however it is escaped."""

_SPACE = b" \t\n\r"
_DECODER = json.JSONDecoder()
_NUMBER = re.compile(rb"-?[0-9]{1,5000}")  # Python reads no longer ones
_QUOTE, _OPEN, _CLOSE, _COMMA, _BRACE = 1, 2, 3, 4, 5
_KINDS = bytes(b'"[],{'.find(b"{" if byte == 0x7D else bytes([byte])) + 1 for byte in range(256))  # 0: no such byte

Parts = dict[int, tuple[int, bytes]]
"""By the position of its first text: how many texts a part has, and these as a JSON list."""


class TextList:
    """`total` texts as a client sent them, to be cut into parts of `step`.

    `read` until it says that all is read; then `parts` are there, `digest` stands for the whole, and `longest` is
    about how many bytes the longest text has.
    """

    def __init__(self, content: bytes | memoryview, total: int, step: int, slice_bytes: int = SLICE_BYTES) -> None:
        self.parts: Parts = {}
        self.longest = 0
        self._content = memoryview(content)
        self._total = total
        self._step = step
        self._slice_bytes = slice_bytes
        self._position = 0  # of the first byte that is not read
        self._count = 0  # of the texts that are read
        self._part_begin = 0
        self._text_begin = 0  # of one that is longer than a slice
        self._depth = 0
        self._kinds: list[type | None] = [None, None]  # of texts, and of their tokens
        self._digest = blake2b(digest_size=16)
        self._go_on: Callable[[], None] | None = self._open

    @property
    def digest(self) -> bytes:
        return self._digest.digest()

    def read(self) -> bool:
        """Read on, no more than a slice; whether that was all. Raises MalformedMessage, without the sender."""
        begin = self._position
        if self._go_on is not None:
            self._go_on()
        self._digest.update(self._content[begin : self._position])
        return self._go_on is None

    # -- where in the list we are; each reads on from there ------------------------------------------------------------

    def _open(self) -> None:
        if window := self._window():
            if window[:1] != b"[":
                raise MalformedMessage("frame 1 must be a JSON list of texts that is not empty")
            self._position += 1
            self._part_begin = self._position
            self._depth = 1
            self._go_on = self._values

    def _values(self) -> None:
        """A value begins: take all that end in this slice, at once."""
        window = self._window()
        if not window:
            return
        commas, end = _structure(window, deepest=2 - self._depth)
        if end is None and not len(commas):
            self._begin_long(window)
            return
        cut = int(commas[-1]) if end is None else end
        values = _load(b"[" + window[:cut] + b"]")
        if len(values) != len(commas) + (end is not None):
            raise MalformedMessage("frame 1 must be a JSON list of texts that is not empty, without empty places")
        if self._depth == 1:
            self._take(values, commas, cut)
        else:
            self._check_tokens(self._count, values)
        self._position += cut
        if end is None:
            self._position += 1
        else:
            self._close()

    def _begin_long(self, window: bytes) -> None:
        """One value is longer than a slice, or has much space behind it."""
        self._text_begin = self._position if self._depth == 1 else self._text_begin
        if window[:1] == b'"':
            self._expect(str)
            self._position += 1
            self._go_on = self._string
        elif window[:1] == b"[" and self._depth == 1:
            self._expect(list)
            self._position += 1
            self._depth = 2
        elif self._depth == 2 and (number := _NUMBER.match(self._content, self._position)):
            _load(number.group())
            self._expect(int)
            self._position = number.end()
            self._go_on = self._after
        else:
            raise _wrong_text(self._count)

    def _string(self) -> None:
        window = bytes(self._content[self._position : self._position + max(self._slice_bytes, _LEAST_PIECE)])
        quote = _without_escaped(window).find(b'"')
        is_last = self._position + len(window) == len(self._content)
        if quote < 0 and is_last:
            raise MalformedMessage("frame 1 (texts) is not JSON: it ends within a string")
        cut = quote if quote >= 0 else self._between_characters(window)
        _load(b'"' + window[:cut] + b'"')
        self._position += cut
        if quote >= 0:
            self._position += 1
            self._go_on = self._after
            if self._depth == 1:
                self._end_long()

    def _between_characters(self, window: bytes) -> int:
        """The last place in a piece of a string, which does not reach its end, that is not within a character."""
        cut = len(window)
        for _ in range(3):
            if self._content[self._position + cut] & 0xC0 == 0x80:
                cut -= 1
        escape = window.rfind(b"\\", cut - 6, cut)
        run = window[: escape + 1]
        return escape if (len(run) - len(run.rstrip(b"\\"))) % 2 else cut

    def _after(self) -> None:
        """A value has ended that was longer than a slice."""
        window = self._window()
        if not window:
            return
        if window[:1] == b",":
            if self._depth == 1 and self._count % self._step == 0:
                self._cut(self._position)
            self._position += 1
            self._go_on = self._values
        elif window[:1] == b"]":
            self._close()
        else:
            raise MalformedMessage("frame 1 (texts) is not JSON: a comma or the list's end is missing")

    def _close(self) -> None:
        if self._depth == 1:
            self._cut(self._position)
            self._go_on = self._end
        else:
            self._depth = 1
            self._go_on = self._after
        self._position += 1
        if self._go_on == self._after:
            self._end_long()
        elif self._count != self._total:
            raise self._wrong_count(str(self._count))
        elif self._position == len(self._content):
            self._go_on = None

    def _end(self) -> None:
        if self._window():
            raise MalformedMessage("frame 1 (texts) is not JSON: something stands behind the list")
        if self._position == len(self._content):
            self._go_on = None

    # -- what was read ------------------------------------------------------------------------------------------------

    def _window(self) -> bytes:
        """The next bytes, with the white space before them read; none if there was nothing else."""
        window = bytes(self._content[self._position : self._position + self._slice_bytes])
        if not window and self._go_on != self._end:
            raise MalformedMessage("frame 1 (texts) is not JSON: it ends before the list does")
        rest = window.lstrip(_SPACE)
        self._position += len(window) - len(rest)
        return rest

    def _take(self, texts: list[Any], commas: np.ndarray[Any, np.dtype[np.int64]], cut: int) -> None:
        self._kinds[0] = self._kinds[0] or type(texts[0])
        kind = self._kinds[0]
        if kind not in (str, list) or set(map(type, texts)) != {kind}:
            wrong = next(index for index, text in enumerate(texts) if type(text) is not kind or kind not in (str, list))
            raise _wrong_text(self._count + wrong)
        if kind is list:
            self._check_all_tokens(texts)
        edges = np.concatenate(([-1], commas, [cut]))
        self.longest = max(self.longest, int(np.diff(edges).max()) - 1)
        before, self._count = self._count, self._count + len(texts)
        self._check_count()
        next_cut = before - before % self._step + self._step
        for number in range(next_cut, before + len(commas) + 1, self._step):
            self._cut(self._position + int(commas[number - before - 1]))

    def _check_all_tokens(self, texts: list[list[Any]]) -> None:
        self._check_tokens(self._count, texts[0])
        if not all(texts) or set(map(type, chain.from_iterable(texts))) != {self._kinds[1]}:
            for index, tokens in enumerate(texts, self._count):
                self._check_tokens(index, tokens)

    def _check_tokens(self, index: int, tokens: list[Any]) -> None:
        if tokens:
            self._kinds[1] = self._kinds[1] or type(tokens[0])
        if not tokens or self._kinds[1] not in (str, int) or set(map(type, tokens)) != {self._kinds[1]}:
            raise _wrong_text(index)

    def _expect(self, kind: type) -> None:
        """A value of that kind begins."""
        self._kinds[self._depth - 1] = self._kinds[self._depth - 1] or kind
        if self._kinds[self._depth - 1] is not kind:
            raise _wrong_text(self._count)

    def _end_long(self) -> None:
        self.longest = max(self.longest, self._position - self._text_begin)
        self._count += 1
        self._check_count()

    def _check_count(self) -> None:
        if self._count > self._total:
            raise self._wrong_count("more")

    def _wrong_count(self, found: str) -> MalformedMessage:
        return MalformedMessage(f"frame 3 says {self._total} texts, but frame 1 holds {found}")

    def _cut(self, end: int) -> None:
        """A part ends before the byte at `end`, a comma or the list's end."""
        offset = len(self.parts) * self._step
        self.parts[offset] = (self._count_at(offset), b"".join((b"[", self._content[self._part_begin : end], b"]")))
        self._part_begin = end + 1

    def _count_at(self, offset: int) -> int:
        return min(self._step, self._count - offset)


def _without_escaped(window: bytes) -> bytes:
    """As long, with the escaped quotes and backslashes of its strings gone; it begins outside an escape."""
    return window.replace(b"\\\\", b"__").replace(b'\\"', b"__") if b"\\" in window else window


def _structure(window: bytes, deepest: int) -> tuple[np.ndarray[Any, np.dtype[np.int64]], int | None]:
    """Where in a list's content its own commas stand, and where it ends, or None if it does not end here.

    Raises MalformedMessage if lists are nested deeper than `deepest`.
    """
    kinds = np.frombuffer(_without_escaped(window).translate(_KINDS), np.uint8)
    places = np.flatnonzero(kinds != 0)  # of bools it is found six times as fast
    kinds = kinds[places]
    is_quote = kinds == _QUOTE
    outside = ~is_quote & (np.cumsum(is_quote) % 2 == 0)
    places, kinds = places[outside], kinds[outside]
    levels = np.cumsum(np.where(kinds == _OPEN, 1, np.where(kinds == _CLOSE, -1, 0)))
    ends = np.flatnonzero(levels < 0)
    if len(ends):
        kinds, levels = kinds[: ends[0]], levels[: ends[0]]
    if len(levels) and (levels.max() > deepest or (kinds == _BRACE).any()):
        raise MalformedMessage("frame 1 must be a JSON list of texts: strings, or lists of strings or of ids")
    commas = places[: len(kinds)][(kinds == _COMMA) & (levels == 0)]
    return commas, int(places[ends[0]]) if len(ends) else None


def _load(piece: bytes) -> Any:
    try:
        return _DECODER.decode(piece.decode("utf-8", "surrogatepass"))
    except (ValueError, RecursionError) as error:
        raise MalformedMessage(f"frame 1 (texts) is not JSON: {str(error)[:200]}") from None


def _wrong_text(index: int) -> MalformedMessage:
    return MalformedMessage(
        f"text {index} must be, as all others, a string or a list of strings, or of ids, that is not empty"
    )
