"""Connections in number and bytes: who sends without end goes, and nobody goes for another."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from bert_serving.server.transport.connection_table import (
    HEARTBEATS_PER_S,
    MEMORY_SLACK,
    SILENT_S,
    SLACK,
    Bounds,
    Connection,
    ConnectionTable,
)
from bert_serving.server.transport.penalties import PENALTY_S

MB = 1 << 20
BOUNDS = Bounds(connections=100, message=256 * MB, together=512 * MB)


class Bench:
    """A table; `look` at so many bytes that each connection has received in all, in order."""

    def __init__(self, bounds: Bounds = BOUNDS, number: int = 1) -> None:
        self.table, self.now_s = ConnectionTable(bounds), 0.0
        for fd in range(number):
            self.table.accepted(fd, ("there", fd), 0)

    def one(self, fd: int) -> Connection:
        one = self.table.get(fd)
        assert one is not None
        return one

    def look(self, *received: int, memory: int = 0) -> list[int]:
        self.now_s += 0.05
        self.table.dry()
        for fd, size in enumerate(received):
            self.table.seen(self.one(fd), size, 0, self.now_s)
        return [one.fd for one in self.table.judge(self.now_s, memory)]


def test_a_message_without_end_is_ended() -> None:
    bench = Bench(number=2)
    for sent in range(250 * MB, 800 * MB, 50 * MB):
        if out := bench.look(sent, 100):
            break
    assert out == [0]
    assert sent <= 400 * MB


def test_a_large_message_passes_and_many_of_them() -> None:
    bench, sent = Bench(), 0
    for _ in range(20):
        for _ in range(5):
            sent += 50 * MB
            assert bench.look(sent) == []
        bench.table.was_read(bench.one(0), 250 * MB, 4)
    assert bench.look(sent) == []


def test_what_waits_to_be_read_is_not_taken_for_a_message_without_end() -> None:
    bench = Bench(number=3)
    for now_s in range(20):  # the owner is busy: it has read nothing since
        bench.table.seen(bench.one(0), 400 * MB, 0, now_s)
        assert bench.table.judge(now_s, 0) == []


def test_others_being_read_shows_that_nothing_whole_of_it_waits() -> None:
    bench = Bench(number=3)  # never is all read, for one asks without a pause
    for now_s in range(4):
        for _ in range(3):
            bench.table.was_read(bench.one(1), 100, 4)
        bench.table.seen(bench.one(0), 300 * MB, 0, now_s)
        out = bench.table.judge(now_s, 0)
        if out:
            break
    assert [one.fd for one in out] == [0]


def test_unfinished_messages_are_bounded_together_and_the_oldest_goes() -> None:
    bench = Bench(number=4)
    assert bench.look(200 * MB, 0, 0, 0) == []
    assert bench.look(200 * MB, 200 * MB, 0, 0) == []
    assert bench.look(200 * MB, 200 * MB, 100 * MB, 0) == []
    assert bench.look(200 * MB, 200 * MB, 200 * MB, 0) == [0]


def test_a_message_of_countless_frames_is_seen_by_the_memory_it_takes() -> None:
    bench = Bench(number=2)
    assert bench.look(0, 0, memory=100 * MB) == []
    assert bench.look(2 * MB, 0, memory=100 * MB + MEMORY_SLACK) == []
    assert bench.look(4 * MB, 0, memory=100 * MB + MEMORY_SLACK + 32 * MB) == [0]
    assert bench.look(4 * MB, 9 * MB, memory=400 * MB) == []  # it begins anew


def test_with_who_did_harm_go_those_from_there_whose_first_message_is_large() -> None:
    table = ConnectionTable(Bounds(10, 256 * MB, 512 * MB))
    hosts = ["10.0.0.1", "10.0.0.1", "10.0.0.1", "10.0.0.1", "10.0.0.2"]
    for fd, host in enumerate(hosts):
        assert table.accepted(fd, (host, fd), 0.0) is None
    stranger, alike, small, known, elsewhere = table
    for one, size in ((stranger, 2 * MB), (alike, MB), (small, 1_000), (known, 2 * MB), (elsewhere, 2 * MB)):
        table.seen(one, size, 0, 0.1)
    table.was_read(known, 100, 4)
    assert table.harm(stranger, 0.2) == [stranger, alike]
    assert table.harm(stranger, 0.3) == []


def test_what_was_read_may_take_memory() -> None:
    bench = Bench(number=2)
    bench.look(0, 0)
    bench.look(150 * MB, 2 * MB)
    bench.table.was_read(bench.one(0), 150 * MB, 4)
    assert bench.look(150 * MB, 4 * MB, memory=450 * MB) == []


def test_heartbeats_of_a_year_are_no_message() -> None:
    bench = Bench(Bounds(100, MB, 2 * MB, is_read_at_once=True))
    year_s = 365 * 86_400.0
    bench.table.seen(bench.one(0), int(HEARTBEATS_PER_S * year_s), 0, year_s)
    assert bench.table.judge(year_s, 0) == []


def test_subscriptions_that_are_read_as_they_come_are_bounded_at_once() -> None:
    bench = Bench(Bounds(100, MB, 2 * MB, is_read_at_once=True), number=2)
    assert bench.look(MB, 10) == []
    assert bench.look(MB + 2 * SLACK, 10) == [0]


def test_the_number_is_bounded_and_who_says_nothing_makes_room() -> None:
    table = ConnectionTable(Bounds(3, MB, MB))
    for fd in range(3):
        assert table.accepted(fd, fd, now_s=0) is None
    table.was_read(table.get(0) or never(), 10, 1)
    late = table.accepted(3, 3, now_s=1)
    assert late is not None
    assert late.fd == 3  # the others may still be about to speak
    table.gone(3, 1)
    late = table.accepted(3, 3, now_s=SILENT_S)
    assert late is not None
    assert late.fd == 1  # the first that never spoke
    table.gone(1, SILENT_S)
    assert len(table) == 3


def test_who_did_harm_gets_no_new_connection_for_a_while() -> None:
    table = ConnectionTable(Bounds(100, MB, MB))
    good, bad = ("10.0.0.1", 1), ("10.0.0.2", 1)
    assert table.accepted(0, bad, now_s=0) is None
    assert table.accepted(1, bad, now_s=0) is None
    table.harm(table.get(0) or never(), now_s=1)
    late = table.accepted(2, ("10.0.0.2", 2), now_s=1 + PENALTY_S - 0.1)
    assert late is not None
    assert late.fd == 2
    assert not (table.get(1) or never()).is_going  # what it had stays
    assert table.accepted(3, good, now_s=2) is None
    assert table.accepted(4, bad, now_s=1 + PENALTY_S) is None


def test_an_address_may_connect_in_vain_now_and_then_and_not_without_end() -> None:
    table = ConnectionTable(Bounds(10_000, MB, MB))

    def knocks(number: int, interval_s: float, begin_s: float) -> int:
        """How many of them are taken."""
        taken = 0
        for turn in range(number):
            now_s = begin_s + turn * interval_s
            taken += table.accepted(turn, ("10.0.0.3", turn), now_s) is None
            table.gone(turn, now_s)
        return taken

    assert knocks(2_000, interval_s=0.1, begin_s=0) == 2_000  # a probe
    assert knocks(9_000, interval_s=0.0001, begin_s=1_000) < 1_300
    assert knocks(1, interval_s=1, begin_s=1_100) == 1


def test_an_address_may_send_what_is_no_request_now_and_then_and_not_without_end() -> None:
    table = ConnectionTable(Bounds(10_000, MB, MB))

    def sends(number: int, interval_s: float, begin_s: float) -> int:
        """How many messages come, each by a connection of its own, until it is enough."""
        for turn in range(number):
            now_s = begin_s + turn * interval_s
            assert table.accepted(turn, ("10.0.0.3", turn), now_s) is None
            (one,) = table
            is_enough = table.in_vain(one, now_s)
            assert not table.in_vain(one, now_s) or not is_enough, "it goes already"
            one.is_silent = False
            table.gone(turn, now_s)
            if is_enough:
                return turn
        return number

    assert sends(2_000, interval_s=0.1, begin_s=0) == 2_000  # a client with a fault
    assert sends(9_000, interval_s=0.0001, begin_s=1_000) < 1_300
    assert not table.is_welcome("10.0.0.3")


def never() -> Connection:
    raise AssertionError


class Comings(RuleBasedStateMachine):
    """Connections come and go under descriptors that are used again; honest ones send messages of any size up to the
    bound, and strangers send one that never ends."""

    @initialize()
    def begin(self) -> None:
        self.bounds = Bounds(connections=6, message=10 * MB, together=20 * MB)
        self.table = ConnectionTable(self.bounds)
        self.received: dict[int, int] = {}
        self.strangers: set[int] = set()
        self.now_s = 0.0

    def drop(self, fd: int) -> None:
        self.table.gone(fd, self.now_s)
        self.received.pop(fd, None)
        self.strangers.discard(fd)

    @rule(fd=st.integers(0, 8), is_stranger=st.booleans())
    def come(self, fd: int, is_stranger: bool) -> None:
        self.drop(fd)
        self.received[fd] = 0
        if is_stranger:
            self.strangers.add(fd)
        out = self.table.accepted(fd, fd, self.now_s)
        if out is not None:
            self.drop(out.fd)

    @precondition(lambda self: self.received)
    @rule(data=st.data())
    def go(self, data: st.DataObject) -> None:
        self.drop(data.draw(st.sampled_from(sorted(self.received))))

    @precondition(lambda self: self.received)
    @rule(data=st.data(), size=st.integers(1, 10 * MB))
    def send(self, data: st.DataObject, size: int) -> None:
        fd = data.draw(st.sampled_from(sorted(self.received)))
        self.received[fd] += size
        if fd not in self.strangers:
            one = self.table.get(fd)
            assert one is not None
            self.table.was_read(one, size, 4)

    @rule(steps=st.integers(1, 4))
    def look(self, steps: int) -> None:
        for _ in range(steps):
            self.now_s += 0.05
            self.table.dry()
            for one in self.table:
                self.table.seen(one, self.received[one.fd], 0, self.now_s)
            out = self.table.judge(self.now_s, 0)
            assert {one.fd for one in out} <= self.strangers
            for one in out:
                self.drop(one.fd)
        if steps >= 3:  # long enough to be sure of each
            sizes = [self.received[fd] for fd in self.strangers]
            assert max(sizes, default=0) <= self.bounds.message + MB
            assert sum(sizes) <= self.bounds.together + MB * len(sizes)

    @invariant()
    def there_are_never_too_many(self) -> None:
        assert len(self.table) <= self.bounds.connections
        assert {one.fd for one in self.table} == set(self.received)


TestComings = Comings.TestCase
