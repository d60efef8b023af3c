"""Simulated time."""

from __future__ import annotations

from functools import partial

import pytest

from scaling.events import Bell, Clock, Process
from scaling.meter import Meter


def test_things_happen_in_the_order_of_their_times_and_then_of_their_announcement() -> None:
    clock, seen = Clock(), list[tuple[str, float]]()
    for name, when_s in (("c", 2.0), ("a", 1.0), ("b", 1.0)):
        clock.at(when_s, partial(lambda name: seen.append((name, clock.now_s)), name))
    clock.run()
    assert seen == [("a", 1.0), ("b", 1.0), ("c", 2.0)]
    with pytest.raises(ValueError, match="before now"):
        clock.at(1.5, clock.run)


def test_a_run_ends_at_its_time_or_when_it_is_over() -> None:
    clock, seen = Clock(), list[float]()
    for when_s in (1.0, 2.0, 3.0):
        clock.at(when_s, lambda: seen.append(clock.now_s))
    clock.run(1.5)
    assert seen == [1.0]
    clock.run(is_over=lambda: len(seen) == 2)
    assert seen == [1.0, 2.0]


def test_a_process_spends_time_waits_for_a_bell_and_can_be_closed() -> None:
    clock, bell, seen = Clock(), Bell(), list[float]()

    def process() -> Process:
        yield 1.0
        seen.append(clock.now_s)
        yield bell
        seen.append(clock.now_s)
        yield 1.0
        seen.append(clock.now_s)

    running = process()
    clock.start(running)
    clock.at(5.0, partial(bell.ring, clock))
    clock.at(5.5, running.close)
    clock.run()
    assert seen == [1.0, 5.0]


def test_a_meter_tells_rates() -> None:
    meter = Meter()
    for tenth in range(10):
        meter.add(tenth / 10 + 0.01, 3.0)
    assert meter.rate(0.0, 1.0) == pytest.approx(30.0)
    assert meter.rate(0.5, 1.0) == pytest.approx(30.0)
    assert meter.rate(1.0, 2.0) == 0.0
    times, rates = meter.line(1.0, 0.5)
    assert times == [0.25, 0.75]
    assert rates == pytest.approx([30.0, 30.0])
