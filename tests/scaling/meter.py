"""An amount over simulated time, in steps short enough to draw a line of it. Pure."""

from __future__ import annotations

from collections import defaultdict

STEP_S = 0.05


class Meter:
    """Adds up what happened in each step of `STEP_S`."""

    def __init__(self) -> None:
        self._amounts: defaultdict[int, float] = defaultdict(float)

    def add(self, now_s: float, amount: float) -> None:
        self._amounts[int(now_s / STEP_S)] += amount

    def rate(self, begin_s: float, end_s: float) -> float:
        """The amount a second between two times, to whole steps."""
        first = round(begin_s / STEP_S)
        last = max(first + 1, round(end_s / STEP_S))
        return sum(self._amounts.get(step, 0.0) for step in range(first, last)) / ((last - first) * STEP_S)

    def line(self, end_s: float, width_s: float) -> tuple[list[float], list[float]]:
        """Times in the middle of each interval of `width_s`, and the rates in them."""
        begins = [number * width_s for number in range(round(end_s / width_s))]
        return [begin + width_s / 2 for begin in begins], [self.rate(begin, begin + width_s) for begin in begins]
