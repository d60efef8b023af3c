"""How many workers there should be: more while requests would wait, fewer when some are idle, never out of bounds."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bert_serving.server.message.tickets import PartKey, Ticket
from bert_serving.server.ventilator.autoscaler import DECIDE_INTERVAL_S, Autoscaler, Bounds
from bert_serving.server.ventilator.loads import Loads

ROWS = 10
"""Of each part; a worker computes one in a second."""
TICK_S = DECIDE_INTERVAL_S


@dataclass
class Played:
    """A service on a clock of its own: each worker computes a part a second, a new one is ready after `start_s`."""

    bounds: Bounds
    start_s: float = 3.0
    now_s: float = 0.0
    loads: Loads = field(default_factory=lambda: Loads(10 * ROWS))
    queue: deque[Ticket] = field(default_factory=deque)
    due_s: dict[str, float] = field(default_factory=dict)  # of the part that a worker computes
    ready_s: dict[str, float] = field(default_factory=dict)  # of each worker that is there
    asked: int = 0

    def __post_init__(self) -> None:
        self.autoscaler = Autoscaler(self.bounds)
        for number in range(self.bounds.least):
            self.ready_s[f"worker-{number}"] = 0.0

    @property
    def workers(self) -> list[str]:
        return sorted(self.ready_s)

    @property
    def open_rows(self) -> int:
        return self.loads.rows + sum(ticket.rows for ticket in self.queue)

    def ask(self, parts: int) -> None:
        for _ in range(parts):
            self.asked += 1
            self.queue.append(Ticket(PartKey(self.asked, 0), ROWS, b"client", urgent=False))

    def run(self, seconds: float) -> None:
        for _ in range(round(seconds / TICK_S)):
            self.tick()

    def tick(self) -> None:
        self.now_s += TICK_S
        for worker, due_s in list(self.due_s.items()):
            if due_s <= self.now_s:
                key = next(iter(self.loads[worker].tickets))
                self.loads.finished(worker, key)
                self.loads.confirmed(key)
                del self.due_s[worker]
        for worker, ready_s in self.ready_s.items():
            if ready_s <= self.now_s:
                self.loads.add(worker)
        for worker in self.loads:
            if self.queue and worker not in self.due_s:
                self.loads.give(worker, self.queue.popleft())
                self.due_s[worker] = self.now_s + 1.0
        self.autoscaler.see(self.loads, self.now_s)
        if self.autoscaler.is_due(self.now_s):
            self.change()

    def change(self) -> None:
        change = self.autoscaler.decide(self.open_rows, self.workers, self.loads, self.now_s)
        for _ in range(change.add):
            free = (name for name in map("worker-{}".format, range(self.bounds.most)) if name not in self.ready_s)
            self.ready_s[next(free)] = self.now_s + self.start_s
        if change.release is not None:
            assert change.release not in self.due_s
            del self.ready_s[change.release]
            self.loads.remove(change.release)


def test_workers_come_while_requests_would_wait_and_go_when_idle() -> None:
    service = Played(Bounds(1, 8, up_wait_s=2.0, idle_s=30.0))
    service.ask(30)
    service.run(12)
    assert len(service.workers) > 4
    assert not service.queue
    service.run(28)
    assert len(service.workers) > 1  # they may still be needed
    service.run(15)
    assert service.workers == ["worker-0"]


def test_what_the_workers_can_do_in_time_brings_no_more() -> None:
    service = Played(Bounds(2, 8, up_wait_s=5.0, idle_s=30.0))
    for _ in range(40):
        service.ask(3)  # 1.5 s of work
        service.run(2)
        assert len(service.workers) == 2


def test_a_moment_of_much_work_brings_no_more() -> None:
    service = Played(Bounds(1, 8, up_wait_s=2.5, idle_s=30.0))
    for _ in range(20):  # the pace is known well
        service.ask(1)
        service.run(1.5)
    service.ask(3)  # 3 s of work for one worker, and a moment later 2 s
    service.run(10)
    assert service.workers == ["worker-0"]


def test_workers_that_never_become_ready_are_let_go_too() -> None:
    service = Played(Bounds(1, 4, up_wait_s=2.0, idle_s=10.0), start_s=1e9)
    service.ask(20)
    service.run(5)
    assert len(service.workers) == 4
    service.run(10)
    assert len(service.workers) == 4  # still wanted
    service.run(20)
    assert service.workers == ["worker-0"]


def test_nothing_computed_for_long_counts_as_waiting() -> None:
    loads = Loads(100)
    loads.add("worker-0")
    autoscaler = Autoscaler(Bounds(1, 2, up_wait_s=2.0, idle_s=10.0))
    autoscaler.see(loads, 0.0)
    loads.give("worker-0", Ticket(PartKey(1, 0), ROWS, b"client", urgent=False))
    autoscaler.see(loads, 10.0)
    assert autoscaler.wait_s(ROWS, 1) == 0.0
    autoscaler.see(loads, 13.0)
    assert autoscaler.wait_s(ROWS, 1) == pytest.approx(3.0)


def test_a_fixed_number_is_never_decided_on() -> None:
    assert not Autoscaler(Bounds(2, 2, up_wait_s=1.0, idle_s=1.0)).is_due(100.0)


@given(
    st.lists(st.tuples(st.integers(0, 40), st.integers(1, 80)), max_size=15),
    st.integers(1, 3),
    st.integers(1, 5),
    st.sampled_from([0.5, 7.0, 1e9]),
)
def test_bounds_are_kept_and_all_is_computed(
    phases: list[tuple[int, int]], least: int, more: int, start_s: float
) -> None:
    service = Played(Bounds(least, least + more, up_wait_s=1.0, idle_s=4.0), start_s)
    for parts, ticks in phases:
        service.ask(parts)
        for _ in range(ticks):
            service.tick()
            assert least <= len(service.workers) <= least + more
    service.run(2 + 1.2 * len(service.queue))
    assert service.open_rows == 0
    service.run(5 + 1 * more)
    assert len(service.workers) == least
