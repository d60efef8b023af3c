"""The scheduler: nothing lost, nothing twice, windows kept, urgent first, turns for clients, under any events."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from bert_serving.server.message.tickets import PartKey, Ticket
from bert_serving.server.ventilator.scheduler import Scheduler, part_rows

WINDOW = 100


def ticket(job: int, rows: int = 10, client: bytes = b"a", urgent: bool = False) -> Ticket:
    return Ticket(PartKey(job, 0), rows, client, urgent)


@pytest.mark.parametrize(
    ("total", "workers", "rows"),
    [(1, 1, 32), (192, 2, 32), (1024, 2, 128), (1024, 1, 256), (10_000, 1, 256), (300, 1, 75)],
)
def test_a_request_is_cut_so_that_every_worker_has_some(total: int, workers: int, rows: int) -> None:
    assert part_rows(total, workers, max_rows=256) == rows


def test_urgent_parts_go_first() -> None:
    scheduler = Scheduler(WINDOW)
    scheduler.submit(ticket(1))
    scheduler.submit(ticket(2, urgent=True))
    scheduler.add_worker("w")
    assert [t.key.job for _, t in scheduler.assign()] == [2, 1]


def test_clients_take_turns() -> None:
    scheduler = Scheduler(1000)
    for job in range(3):
        scheduler.submit(ticket(job, client=b"greedy"))
    scheduler.submit(ticket(9, client=b"modest"))
    scheduler.add_worker("w")
    assert [t.key.job for _, t in scheduler.assign()] == [0, 9, 1, 2]


def test_the_worker_with_the_least_work_gets_the_next_part() -> None:
    scheduler = Scheduler(WINDOW)
    scheduler.add_worker("busy")
    scheduler.submit(ticket(1, rows=50))
    assert [w for w, _ in scheduler.assign()] == ["busy"]
    scheduler.add_worker("idle")
    scheduler.submit(ticket(2, rows=10))
    assert [w for w, _ in scheduler.assign()] == ["idle"]


def test_a_full_window_holds_bulk_back_but_not_urgent() -> None:
    scheduler = Scheduler(WINDOW)
    scheduler.add_worker("w")
    for job in range(3):
        scheduler.submit(ticket(job, rows=60))
    assert [t.key.job for _, t in scheduler.assign()] == [0]
    scheduler.submit(ticket(7, rows=5, urgent=True))
    assert [t.key.job for _, t in scheduler.assign()] == [7]
    scheduler.finished("w", PartKey(0, 0))
    assert [t.key.job for _, t in scheduler.assign()] == [1]


def test_a_part_larger_than_the_window_still_goes_out() -> None:
    scheduler = Scheduler(WINDOW)
    scheduler.add_worker("w")
    scheduler.submit(ticket(1, rows=10 * WINDOW))
    assert [t.key.job for _, t in scheduler.assign()] == [1]


def test_work_of_a_lost_worker_comes_back_in_order_before_other_work() -> None:
    scheduler = Scheduler(1000)
    scheduler.add_worker("lost")
    for job in range(3):
        scheduler.submit(ticket(job))
    list(scheduler.assign())
    scheduler.submit(ticket(9))
    assert [t.key.job for t in scheduler.remove_worker("lost").requeued] == [0, 1, 2]
    scheduler.add_worker("other")
    assert [t.key.job for _, t in scheduler.assign()] == [0, 1, 2, 9]


@given(st.lists(st.tuples(st.integers(1, 40), st.booleans(), st.sampled_from([b"a", b"b", b"c"])), max_size=60))
def test_each_client_keeps_its_order_within_a_class(parts: list[tuple[int, bool, bytes]]) -> None:
    scheduler = Scheduler(10**9)
    scheduler.add_worker("w")
    for job, (rows, urgent, client) in enumerate(parts):
        scheduler.submit(ticket(job, rows, client, urgent))
    out = [t for _, t in scheduler.assign()]
    for client in (b"a", b"b", b"c"):
        for urgent in (True, False):
            jobs = [t.key.job for t in out if t.client == client and t.urgent is urgent]
            assert jobs == sorted(jobs)


class SchedulerLife(RuleBasedStateMachine):
    """Submit, assign, finish, confirm, gain and lose workers in any order; a model keeps count of parts that matter."""

    def __init__(self) -> None:
        super().__init__()
        self.scheduler = Scheduler(WINDOW)
        self.rows: dict[PartKey, int] = {}  # of all parts that are not confirmed
        self.waiting: set[PartKey] = set()
        self.running: dict[PartKey, str] = {}
        self.sent: dict[PartKey, str] = {}
        self.jobs = 0

    @rule(rows=st.integers(1, 150), client=st.sampled_from([b"a", b"b"]), urgent=st.booleans())
    def submit(self, rows: int, client: bytes, urgent: bool) -> None:
        self.jobs += 1
        self.scheduler.submit(ticket(self.jobs, rows, client, urgent))
        self.rows[PartKey(self.jobs, 0)] = rows
        self.waiting.add(PartKey(self.jobs, 0))

    @rule(worker=st.sampled_from(["w0", "w1", "w2"]))
    def gain(self, worker: str) -> None:
        self.scheduler.add_worker(worker)

    @rule(worker=st.sampled_from(["w0", "w1", "w2"]))
    def lose(self, worker: str) -> None:
        lost = self.scheduler.remove_worker(worker)
        had = {key for key, holder in (self.running | self.sent).items() if holder == worker}
        gone = {t.key for t in (lost.to_split, lost.poison) if t}
        assert {t.key for t in lost.requeued} | gone == had
        for key in had:
            self.running.pop(key, None)
            self.sent.pop(key, None)
        self.waiting |= had - gone
        if lost.poison:
            assert lost.poison.rows == 1
            del self.rows[lost.poison.key]
        if lost.to_split:
            whole = lost.to_split
            half = self.rows.pop(whole.key) // 2
            for offset, rows in ((0, half), (half, whole.rows - half)):
                key = PartKey(whole.key.job, whole.key.offset + offset)
                self.scheduler.submit_suspect(Ticket(key, rows, whole.client, whole.urgent))
                self.rows[key] = rows
                self.waiting.add(key)

    @rule()
    def assign(self) -> None:
        for worker, out in self.scheduler.assign():
            self.waiting.remove(out.key)
            self.running[out.key] = worker
        if self.scheduler.workers and self.waiting:
            assert self.running  # work that waits has something to wait for

    @rule(data=st.data())
    def finish(self, data: st.DataObject) -> None:
        if self.running:
            key = data.draw(st.sampled_from(sorted(self.running, key=str)))
            self.sent[key] = self.running.pop(key)
            self.scheduler.finished(self.sent[key], key)

    @rule(data=st.data())
    def confirm(self, data: st.DataObject) -> None:
        if self.sent:
            key = data.draw(st.sampled_from(sorted(self.sent, key=str)))
            del self.sent[key], self.rows[key]
            self.scheduler.confirmed(key)

    @invariant()
    def sums_and_orders_are_right(self) -> None:
        loads = self.scheduler.loads
        assert loads.rows == sum(self.rows[key] for key in self.running)
        assert loads.num_busy == len(set(self.running.values()))
        having = {*self.running.values(), *self.sent.values()}
        assert {worker for worker in loads if not loads[worker].is_empty} == having
        by_rows = sorted(loads, key=lambda worker: sum(loads[worker].rows))  # stable: who came first is first
        assert loads.least() == next(iter(by_rows), None)

    @invariant()
    def nothing_is_lost(self) -> None:
        assert sum(map(self.scheduler.queued_rows, (True, False))) == sum(self.rows[key] for key in self.waiting)
        for worker in self.scheduler.workers:
            load = self.scheduler.loads[worker]
            assert set(load.tickets) == {key for key, holder in self.running.items() if holder == worker}
            assert set(load.unconfirmed) == {key for key, holder in self.sent.items() if holder == worker}
            assert not load.alone or len(load.tickets) == 1
            for urgent in (True, False):
                rows = [t.rows for t in load.tickets.values() if t.urgent is urgent]
                assert len(rows) <= 1 or sum(rows) <= WINDOW
                assert load.rows[urgent] == sum(rows)


TestSchedulerLife = SchedulerLife.TestCase


def test_a_row_that_ends_its_worker_is_found_and_its_neighbours_come_out() -> None:
    """A worker dies whenever it holds row 37 of a part of 64; the other parts are bystanders."""
    scheduler = Scheduler(1000)
    poison = 37
    rows = {PartKey(1, 0): 64, **{PartKey(job, 0): 10 for job in range(2, 8)}}
    for key, count in rows.items():
        scheduler.submit(Ticket(key, count, b"a", urgent=False))
    done: set[PartKey] = set()
    given_up = None
    for life in range(100):
        worker = f"w{life}"
        scheduler.add_worker(worker)
        while held := list(scheduler.assign()):
            if any(t.key.job == 1 and t.key.offset <= poison < t.key.offset + t.rows for _, t in held):
                break
            for _, t in held:
                scheduler.finished(worker, t.key)
                scheduler.confirmed(t.key)
                done.add(t.key)
        lost = scheduler.remove_worker(worker)
        if lost.poison:
            given_up = lost.poison
        if lost.to_split:
            whole, half = lost.to_split, lost.to_split.rows // 2
            for offset, count in ((0, half), (half, whole.rows - half)):
                key = PartKey(1, whole.key.offset + offset)
                scheduler.submit_suspect(Ticket(key, count, b"a", urgent=False))
        if given_up and not scheduler.queued_rows(False):
            break
    assert given_up is not None
    assert (given_up.key, given_up.rows) == (PartKey(1, poison), 1)
    assert {key for key in done if key.job != 1} == set(rows) - {PartKey(1, 0)}
    assert life < 20


def test_a_worker_holds_less_urgent_work_than_bulk_work() -> None:
    scheduler = Scheduler(1000, 100)
    scheduler.add_worker("w0")
    for number in range(1, 400):
        scheduler.submit(ticket(number, rows=10, client=b"%d" % (number % 7), urgent=number % 2 == 0))
    rows = Counter[bool]()
    for _, one in scheduler.assign():
        rows[one.urgent] += one.rows
    assert rows == {True: 100, False: 1000}
