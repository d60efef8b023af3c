"""The log of open requests says the truth wherever its writer died."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bert_serving.server.ventilator import open_log
from bert_serving.server.ventilator.log_records import Entry, closed, head, opened, read
from bert_serving.server.ventilator.open_log import OpenLog, make_files

ENTRIES = [Entry(number, b"client \0 %d" % number, b"%d" % number) for number in range(5, 9)]


@pytest.fixture
def files() -> Iterator[tuple[int, int]]:
    with make_files() as made:
        yield made


def held(log: OpenLog) -> list[tuple[bytes, bytes]]:
    return [(entry.identity, entry.request_id) for entry in log.inherited]


@given(st.integers(0, 1000))
def test_a_log_that_was_cut_tells_what_stands_before_the_cut(at: int) -> None:
    begin = head(3, 5, [])
    records = [*map(opened, ENTRIES), closed(6)]
    whole = begin + b"".join(records)
    found = read(whole[:at])
    if at < len(begin):
        assert found is None
        return
    left = at - len(begin)
    expected: set[int] = set()
    for record, number in zip(records, (5, 6, 7, 8, -6), strict=True):
        left -= len(record)
        if left < 0:
            break
        expected ^= {abs(number)}
    assert found is not None
    assert set(found.entries) == expected
    assert found.next_number > max(found.entries, default=4)


def test_a_successor_finds_what_is_open_and_goes_on_counting(files: tuple[int, int]) -> None:
    log = OpenLog(files)
    numbers = [log.open(b"client", b"%d" % number) for number in range(1, 4)]
    assert numbers == [1, 2, 3]
    log.close(2)
    log.close(2)
    log.close(99)
    second = OpenLog(files)
    assert held(second) == [(b"client", b"1"), (b"client", b"3")]
    assert second.open(b"new", b"1") == 4
    for number in (1, 3, 4):
        second.close(number)
    third = OpenLog(files)
    assert held(third) == []
    assert third.open(b"new", b"2") == 5


def test_a_log_is_written_anew_when_most_of_it_is_over(files: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(open_log, "LEAST_BYTES", 200)
    log = OpenLog(files)
    kept = log.open(b"kept", b"1")
    for number in range(1000):
        log.close(log.open(b"client", b"%d" % number))
    assert sum(os.fstat(descriptor).st_size for descriptor in files) < 1000
    assert held(OpenLog(files)) == [(b"kept", b"1")]
    assert OpenLog(files).open(b"next", b"1") == 1002
    assert kept == 1


@given(st.data())
def test_whoever_dies_while_a_log_is_written_anew_loses_nothing(data: st.DataObject) -> None:
    with make_files() as files:
        log = OpenLog(files)
        for entry in ENTRIES:
            log.open(entry.identity, entry.request_id)
        expected = held(OpenLog(files))
        sizes = [os.fstat(descriptor).st_size for descriptor in files]
        old = max(range(2), key=sizes.__getitem__)
        half = head(10**6, 9, ENTRIES)[: data.draw(st.integers(0, len(head(10**6, 9, ENTRIES)) - 1))]
        os.ftruncate(files[1 - old], 0)
        os.pwrite(files[1 - old], half, 0)  # it died here
        assert held(OpenLog(files)) == expected
