"""The scheduler: nothing lost, nothing twice, windows kept, urgent first, turns for clients, under any events."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from bert_serving.server.core.scheduler import PartKey, Scheduler, Ticket, part_rows

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
    assert [t.key.job for t in scheduler.remove_worker("lost")] == [0, 1, 2]
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
    """Submit, assign, finish, gain and lose workers in any order; a model keeps count."""

    def __init__(self) -> None:
        super().__init__()
        self.scheduler = Scheduler(WINDOW)
        self.waiting: set[PartKey] = set()
        self.running: dict[PartKey, tuple[str, Ticket]] = {}
        self.jobs = 0

    @rule(rows=st.integers(1, 150), client=st.sampled_from([b"a", b"b"]), urgent=st.booleans())
    def submit(self, rows: int, client: bytes, urgent: bool) -> None:
        self.jobs += 1
        self.scheduler.submit(ticket(self.jobs, rows, client, urgent))
        self.waiting.add(PartKey(self.jobs, 0))

    @rule(worker=st.sampled_from(["w0", "w1", "w2"]))
    def gain(self, worker: str) -> None:
        self.scheduler.add_worker(worker)

    @rule(worker=st.sampled_from(["w0", "w1", "w2"]))
    def lose(self, worker: str) -> None:
        lost = {t.key for t in self.scheduler.remove_worker(worker)}
        assert lost == {key for key, (holder, _) in self.running.items() if holder == worker}
        for key in lost:
            del self.running[key]
        self.waiting |= lost

    @rule()
    def assign(self) -> None:
        for worker, out in self.scheduler.assign():
            self.waiting.remove(out.key)
            self.running[out.key] = (worker, out)
        if self.scheduler.workers and self.waiting:
            assert all(self.scheduler.in_flight_rows(worker) for worker in self.scheduler.workers)

    @rule(data=st.data())
    def finish(self, data: st.DataObject) -> None:
        if self.running:
            key = data.draw(st.sampled_from(sorted(self.running, key=lambda key: key.job)))
            self.scheduler.finished(self.running.pop(key)[0], key)

    @invariant()
    def nothing_is_lost(self) -> None:
        queued = sum(1 for queue in self.scheduler._queues.values() for _ in queue)
        assert queued == len(self.waiting)
        for worker in self.scheduler.workers:
            held = [t for holder, t in self.running.values() if holder == worker]
            assert self.scheduler.in_flight_rows(worker) == sum(t.rows for t in held)
            for urgent in (True, False):
                rows = [t.rows for t in held if t.urgent is urgent]
                assert len(rows) <= 1 or sum(rows) <= WINDOW


TestSchedulerLife = SchedulerLife.TestCase
