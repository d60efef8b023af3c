"""The ventilator's log of requests that it has accepted and not answered, in memory that outlives it.

The supervisor makes the two files, which are on no disk, and each ventilator gets their descriptors. One of them is in
use; when much of it is about finished requests, the other takes its place.
"""

from __future__ import annotations

import mmap
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

from bert_serving.server.ventilator import log_records
from bert_serving.server.ventilator.log_records import Entry, Found

LEAST_BYTES = 1 << 16
"""A log is not rewritten before it has this many."""


@contextmanager
def make_files() -> Iterator[tuple[int, int]]:
    """Descriptors of two empty files for the ventilators of this run."""
    made = [_make_file(), _make_file()]
    try:
        yield made[0], made[1]
    finally:
        for descriptor in made:
            os.close(descriptor)


def _make_file() -> int:
    if hasattr(os, "memfd_create"):
        return os.memfd_create("open-requests")
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())


class OpenLog:
    """What is open by number; `inherited` are the requests of an earlier ventilator.

    It writes into mapped memory, which stays when this process dies, and costs no call of the system.
    """

    def __init__(self, descriptors: tuple[int, int]) -> None:
        logs = {descriptor: log_records.read(_content(descriptor)) or Found() for descriptor in descriptors}
        # the newest is the last, and what is written next goes to the other
        self._files = sorted(logs, key=lambda descriptor: logs[descriptor].generation)
        found = logs[self._files[1]]
        self.inherited = list(found.entries.values())
        self._open = found.entries
        self._generation = found.generation
        self._next_number = found.next_number
        self._live_bytes = sum(entry.size for entry in self.inherited)
        self._memory, self._bytes, self._room = mmap.mmap(-1, 1), 0, 1
        self._begin_anew()

    def __len__(self) -> int:
        return len(self._open)

    def open(self, identity: bytes, request_id: bytes) -> int:
        """Note a request before anything is done about it; its number, which no other has ever had."""
        number = self._next_number
        self._next_number = number + 1
        self._open[number] = entry = Entry(number, identity, request_id)
        record = log_records.opened(entry)
        self._live_bytes += len(record)
        self._write(record)
        return number

    def close(self, number: int) -> None:
        """It is answered, as whoever answers has said."""
        entry = self._open.pop(number, None)
        if entry is not None:
            self._live_bytes -= entry.size
            self._write(log_records.closed(number))

    def _write(self, record: bytes) -> None:
        begin, end = self._bytes, self._bytes + len(record)
        if end > self._room or (end > LEAST_BYTES and end > 2 * self._live_bytes):
            self._begin_anew()  # with what was to be written
            return
        self._memory[begin + 1 : end] = record[1:]
        self._memory[begin] = record[0]  # last: a record counts by its first byte
        self._bytes = end

    def _begin_anew(self) -> None:
        self._generation += 1
        content = log_records.head(self._generation, self._next_number, self._open.values())
        size = max(2 * LEAST_BYTES, 4 * len(content))
        new, old = self._files
        os.ftruncate(new, 0)
        os.ftruncate(new, size)
        _write(new, content)
        self._memory.close()
        self._memory, self._bytes, self._room = mmap.mmap(new, size), len(content), size
        os.ftruncate(old, 0)  # only now: until the other is whole, this one counts
        self._files.reverse()


def _content(descriptor: int) -> bytes:
    return os.pread(descriptor, os.fstat(descriptor).st_size, 0)


def _write(descriptor: int, content: bytes) -> None:
    at = 0
    while at < len(content):
        at += os.pwrite(descriptor, content[at:], at)
