"""What is written of requests that are not answered yet, so that a successor can tell whose they are. Pure.

A log is a run of bytes that grows at its end, and whoever writes it may die at any byte. So a record counts only when
it is whole, and a log counts only from the record that says that all open requests were copied into it:

    magic  generation  next number      at the beginning
    O      number  identity  request id      taken in
    W                                        all that were open when this log began are above
    C      number                            answered
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import dataclass, field

_MAGIC = b"open\1"
_HEAD = struct.Struct("<5sQQ")
_OPENED = struct.Struct("<cQHB")
_CLOSED = struct.Struct("<cQ")
_WHOLE = b"W"


@dataclass(slots=True)
class Entry:
    """A request that was taken in."""

    number: int
    identity: bytes
    request_id: bytes

    @property
    def size(self) -> int:
        """Bytes of its record."""
        return _OPENED.size + len(self.identity) + len(self.request_id)


@dataclass(slots=True)
class Found:
    """What a log says: which requests are open by number, and the first number that was never used."""

    generation: int = 0
    next_number: int = 1
    entries: dict[int, Entry] = field(default_factory=dict)


def head(generation: int, next_number: int, entries: Iterable[Entry]) -> bytes:
    """The beginning of a log, with all that is open."""
    return _HEAD.pack(_MAGIC, generation, next_number) + b"".join(map(opened, entries)) + _WHOLE


def opened(entry: Entry) -> bytes:
    """The record of a request that is taken in."""
    sizes = len(entry.identity), len(entry.request_id)
    return _OPENED.pack(b"O", entry.number, *sizes) + entry.identity + entry.request_id


def closed(number: int) -> bytes:
    """The record of a request that is answered."""
    return _CLOSED.pack(b"C", number)


def read(content: bytes) -> Found | None:
    """What a log says, however it was cut; None if it is not whole even in its beginning."""
    if len(content) < _HEAD.size or not content.startswith(_MAGIC):
        return None
    _, generation, next_number = _HEAD.unpack_from(content)
    found, at, is_whole = Found(generation, next_number), _HEAD.size, False
    while at < len(content):
        kind = content[at : at + 1]
        if kind == _WHOLE:
            is_whole, at = True, at + 1
        elif kind == b"C" and at + _CLOSED.size <= len(content):
            found.entries.pop(_CLOSED.unpack_from(content, at)[1], None)
            at += _CLOSED.size
        elif kind == b"O" and (entry := _read_opened(content, at)) is not None:
            found.entries[entry.number] = entry
            found.next_number = max(found.next_number, entry.number + 1)
            at += entry.size
        else:
            break  # it was cut here
    return found if is_whole else None


def _read_opened(content: bytes, at: int) -> Entry | None:
    if at + _OPENED.size > len(content):
        return None
    _, number, identity_size, id_size = _OPENED.unpack_from(content, at)
    at += _OPENED.size
    if at + identity_size + id_size > len(content):
        return None
    middle = at + identity_size
    return Entry(number, content[at:middle], content[middle : middle + id_size])
