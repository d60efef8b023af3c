"""Simulated time: a heap of what happens when, and processes that spend time. Pure; all of the simulator runs on it.

A process is a generator. What it yields says when it goes on: after so many seconds, or when a `Bell` rings.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from heapq import heappop, heappush
from itertools import count
from math import inf
from typing import Union


class Bell:
    """Processes wait for it; whoever rings it lets all that wait go on."""

    def __init__(self) -> None:
        self._waiting: list[Process] = []

    def wait(self, process: Process) -> None:
        """Let a process go on at the next ring."""
        self._waiting.append(process)

    def ring(self, clock: Clock) -> None:
        """Let all that wait go on, now, after what else is due now."""
        waiting, self._waiting = self._waiting, []
        for process in waiting:
            clock.resume(process, 0.0)


Pause = Union[float, Bell]
Process = Generator[Pause, None, None]


class Clock:
    """What happens at the same time happens in the order in which it was announced."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._serial = count()

    def at(self, when_s: float, happen: Callable[[], None]) -> None:
        """Let something happen then. ValueError if that is over."""
        if when_s < self.now_s:
            raise ValueError(f"{when_s} s is before now, {self.now_s} s")
        heappush(self._due, (when_s, next(self._serial), happen))

    def after(self, delay_s: float, happen: Callable[[], None]) -> None:
        """Let something happen in so many seconds."""
        self.at(self.now_s + delay_s, happen)

    def start(self, process: Process) -> None:
        """Let a process begin now."""
        self.resume(process, 0.0)

    def resume(self, process: Process, delay_s: float) -> None:
        """Let a process go on in so many seconds; one that was closed meanwhile does not."""
        self.after(delay_s, lambda: self._step(process))

    def _step(self, process: Process) -> None:
        try:
            pause = next(process)
        except StopIteration:
            return
        if isinstance(pause, Bell):
            pause.wait(process)
        else:
            self.resume(process, pause)

    def run(self, until_s: float = inf, is_over: Callable[[], bool] = lambda: False) -> None:
        """Let all happen that is due until then, or until `is_over`, which is asked after each event."""
        while self._due and self._due[0][0] <= until_s and not is_over():
            self.now_s, _, happen = heappop(self._due)
            happen()
