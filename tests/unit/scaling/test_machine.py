"""Cores that are shared: when what is done."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scaling.events import Clock, Process
from scaling.machine import Machine


def ends_s(
    jobs: list[tuple[float, float]], cores: float, swings: tuple[float, ...] = (1.0,), first: int = 0
) -> list[float]:
    """When each job of (begin, work) is done."""
    clock, ended = Clock(), dict[int, float]()
    machine = Machine(clock, cores, swings, first)

    def work(number: int, begin_s: float, work_s: float) -> Process:
        yield begin_s
        yield machine.spend(work_s)
        ended[number] = clock.now_s

    for number, job in enumerate(jobs):
        clock.start(work(number, *job))
    clock.run()
    return [ended[number] for number in range(len(jobs))]


def test_with_a_core_for_each_nobody_waits() -> None:
    assert ends_s([(0.0, 2.0), (1.0, 2.0)], 2) == pytest.approx([2.0, 3.0])
    assert ends_s([(0.0, 2.0)] * 9, float("inf")) == pytest.approx([2.0] * 9)


def test_more_than_there_are_cores_go_on_at_the_same_lower_speed() -> None:
    assert ends_s([(0.0, 2.0), (0.0, 2.0), (0.0, 2.0)], 2) == pytest.approx([3.0, 3.0, 3.0])
    # alone for a second, then half as fast until the second one is done
    assert ends_s([(0.0, 3.0), (1.0, 1.0)], 1) == pytest.approx([4.0, 3.0])


def test_cores_that_swing_are_slow_for_a_quarter_of_a_second() -> None:
    swings = (1.0, 0.5, 2.0)
    assert ends_s([(0.0, 0.25)], 1, swings) == pytest.approx([0.25])
    assert ends_s([(0.0, 0.375), (0.0, 0.25)], 2, swings) == pytest.approx([0.5, 0.25])
    assert ends_s([(0.0, 0.375)], 1, swings, 1) == pytest.approx([0.375])
    assert ends_s([(0.0, 0.875), (5.0, 1.75)], 1, swings) == pytest.approx([0.75, 6.5])
    assert ends_s([(0.0, 0.25), (0.0, 0.25)], 1, swings) == pytest.approx([0.5625, 0.5625])


@given(st.lists(st.tuples(st.floats(0, 5), st.floats(0, 5)), min_size=1, max_size=12), st.integers(1, 4))
def test_no_core_idles_while_work_waits_and_none_does_more_than_it_can(
    jobs: list[tuple[float, float]], cores: int
) -> None:
    ended = ends_s(jobs, cores)
    for (begin_s, work_s), end_s in zip(jobs, ended, strict=True):
        assert end_s >= begin_s + work_s - 1e-6
    last_s, all_s = max(ended), sum(work_s for _, work_s in jobs)
    assert last_s >= all_s / cores - 1e-6
    assert last_s <= max(begin_s for begin_s, _ in jobs) + all_s + 1e-6
    one_by_one = ends_s(jobs, 1)
    assert all(end_s <= later_s + 1e-6 for end_s, later_s in zip(ended, one_by_one, strict=True))
