"""A JSON list of texts, read in slices: checked and cut into parts, with no more of it as objects than one slice. Pure.

What a client sent is read in place. A slice ends at a comma between two texts where there is one, and is parsed
for the check alone; a text that is longer than a slice is read on in pieces. The parts for workers are the client's
own bytes. That the pieces are JSON is that the whole is: `[A]` and `[B]` make `[A,B]`, and a string that is cut between
two of its characters two strings.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from hashlib import blake2b
from itertools import chain
from typing import Any

from bert_serving.client.errors import MalformedMessage
from bert_serving.server.message import json_texts
from bert_serving.server.ventilator.structure import SPACE, Values, load, strings, values, without_escaped

SLICE_BYTES = 1 << 15
"""Takes some milliseconds where they are shortest."""

_LEAST_PIECE = 16
"""Bytes of a long string that hold a whole character, however it is escaped."""

_NUMBER = re.compile(rb"-?[0-9]{1,5000}")  # Python reads no longer ones

Parts = dict[int, tuple[int, bytes]]
"""By the position of its first text: how many texts a part has, and these as a JSON list."""


class TextList:
    """`total` texts as a client sent them, to be cut into parts of `step`.

    `read` until it says that all is read; then `parts` are there, `digest` represents the whole, and `longest` is
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
        self._go_on: Callable[[TextList], None] | None = TextList._open
        """No method of this object, which would keep itself, and what the client sent, until a collection of cycles."""

    @property
    def digest(self) -> bytes:
        return self._digest.digest()

    def read(self) -> bool:
        """Read on, no more than a slice; whether that was all. Raises MalformedMessage, without the sender."""
        begin = self._position
        if self._go_on is not None:
            self._go_on(self)
        self._digest.update(self._content[begin : self._position])
        return self._go_on is None

    # -- where in the list we are; each reads on from there ------------------------------------------------------------

    def _open(self) -> None:
        if window := self._window():
            if window[:1] != b"[":
                raise MalformedMessage("frame 1 must be a non-empty JSON list of texts")
            self._position += 1
            self._part_begin = self._position
            self._depth = 1
            self._go_on = TextList._values

    def _values(self) -> None:
        """A value begins: take all that end in this slice, at once."""
        window = self._window()
        if not window:
            return
        found = (strings(window) if window[:1] == b'"' else None) or values(window, deepest=2 - self._depth)
        if found is None:
            self._begin_long(window)
            return
        piece = b"[" + window[: found.cut] + b"]"
        texts = json_texts.read(piece) or load(piece)
        if self._depth == 1 and texts:
            self._check_kinds(texts)
        if len(texts) != len(found.commas) + found.is_end:
            raise MalformedMessage("frame 1 must be a non-empty JSON list of texts without gaps")
        if self._depth == 1:
            self._take(len(texts), found)
        else:
            self._check_tokens(self._count, texts)
        self._position += found.cut
        if found.is_end:
            self._close()
        else:
            self._position += 1

    def _begin_long(self, window: bytes) -> None:
        """One value is longer than a slice, or has much space behind it."""
        self._text_begin = self._position if self._depth == 1 else self._text_begin
        if window[:1] == b'"':
            self._expect(str)
            self._position += 1
            self._go_on = TextList._string
        elif window[:1] == b"[" and self._depth == 1:
            self._expect(list)
            self._position += 1
            self._depth = 2
        elif self._depth == 2 and (number := _NUMBER.match(self._content, self._position)):
            load(number.group())
            self._expect(int)
            self._position = number.end()
            self._go_on = TextList._after
        else:
            raise _wrong_text(self._count)

    def _string(self) -> None:
        window = bytes(self._content[self._position : self._position + max(self._slice_bytes, _LEAST_PIECE)])
        quote = without_escaped(window).find(b'"')
        is_last = self._position + len(window) == len(self._content)
        if quote < 0 and is_last:
            raise MalformedMessage("frame 1 (texts) is not JSON: it ends within a string")
        cut = quote if quote >= 0 else self._between_characters(window)
        load(b'"' + window[:cut] + b'"')
        self._position += cut
        if quote >= 0:
            self._position += 1
            self._go_on = TextList._after
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
            self._go_on = TextList._values
        elif window[:1] == b"]":
            self._close()
        else:
            raise MalformedMessage("frame 1 (texts) is not JSON: a comma or the list's end is missing")

    def _close(self) -> None:
        if self._depth == 1:
            self._cut(self._position)
            self._go_on = TextList._end
        else:
            self._depth = 1
            self._go_on = TextList._after
        self._position += 1
        if self._go_on is TextList._after:
            self._end_long()
        elif self._count != self._total:
            raise self._wrong_count(str(self._count))
        elif self._position == len(self._content):
            self._go_on = None

    def _end(self) -> None:
        if self._window():
            raise MalformedMessage("frame 1 (texts) is not JSON: something follows the list")
        if self._position == len(self._content):
            self._go_on = None

    # -- what was read ------------------------------------------------------------------------------------------------

    def _window(self) -> bytes:
        """The next bytes, with the white space before them read; none if there was nothing else."""
        window = bytes(self._content[self._position : self._position + self._slice_bytes])
        if not window and self._go_on is not TextList._end:
            raise MalformedMessage("frame 1 (texts) is not JSON: it ends before the list does")
        rest = window.lstrip(SPACE)
        self._position += len(window) - len(rest)
        return rest

    def _check_kinds(self, texts: list[Any]) -> None:
        self._kinds[0] = self._kinds[0] or type(texts[0])
        kind = self._kinds[0]
        if kind not in (str, list) or set(map(type, texts)) != {kind}:
            wrong = next(index for index, text in enumerate(texts) if type(text) is not kind or kind not in (str, list))
            raise _wrong_text(self._count + wrong)
        if kind is list:
            self._check_all_tokens(texts)

    def _take(self, number: int, found: Values) -> None:
        """So many texts more are read."""
        self.longest = max(self.longest, found.longest)
        before, self._count = self._count, self._count + number
        self._check_count()
        next_cut = before - before % self._step + self._step
        for count in range(next_cut, before + len(found.commas) + 1, self._step):
            self._cut(self._position + int(found.commas[count - before - 1]))

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
        """A part ends before the byte at `end`, a comma or the list's end. The only part is what the client wrote."""
        offset = len(self.parts) * self._step
        is_all = self._total <= self._step
        texts = bytes(self._content) if is_all else b"".join((b"[", self._content[self._part_begin : end], b"]"))
        self.parts[offset] = (self._count_at(offset), texts)
        self._part_begin = end + 1

    def _count_at(self, offset: int) -> int:
        return min(self._step, self._count - offset)


def _wrong_text(index: int) -> MalformedMessage:
    return MalformedMessage(f"text {index} must, like all others, be a string or a non-empty list of strings or ids")
