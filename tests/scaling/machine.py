"""The cores of a simulated machine, which all that is at work on it shares.

Work is given in seconds of a core. With more at work than there are cores, all go on at the same, lower speed. The
cores themselves are faster and slower by turns, as they are where others are at work on the same host.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from heapq import heappop, heappush
from itertools import count
from math import inf

from scaling.events import Bell, Clock, Pause

SWING_S = 0.25
"""How long cores keep their speed."""


class Machine:
    """`busy_lanes` counts the lanes that compute on it: they slow one another down beyond what they take of the cores.

    `swings` are speeds of the cores, 1 on the average, one after the other and from the start again; the machine begins
    with the one at `first`. Without a number of cores nothing has to wait, and nothing swings.

    All that is at work goes at the same speed, so one number follows it all: `_done_s`, which grows with the speed of
    the moment. What begins when it is 3 and needs 2 is ready when it is 5.
    """

    def __init__(self, clock: Clock, cores: float = inf, swings: Sequence[float] = (1.0,), first: int = 0) -> None:
        self.busy_lanes = 0
        self._clock = clock
        self._cores = cores
        self._swings = swings
        self._first = first
        self._swing = 1.0
        self._at_work: list[tuple[float, int, Bell]] = []
        self._serial = count()
        self._done_s = 0.0
        self._known_s = 0.0
        self._plan = 0

    def spend(self, work_s: float) -> Pause:
        """What a process yields to go on when so much work is done."""
        if self._cores == inf:
            return work_s
        self._catch_up()
        bell = Bell()
        heappush(self._at_work, (self._done_s + work_s, next(self._serial), bell))
        self._look_ahead()
        return bell

    @property
    def _speed(self) -> float:
        return self._swing * min(1.0, self._cores / max(1, len(self._at_work)))

    def _catch_up(self) -> None:
        self._done_s += (self._clock.now_s - self._known_s) * self._speed
        self._known_s = self._clock.now_s

    def _look_ahead(self) -> None:
        """Plan for the end of what ends first or the next swing, unless something else begins before."""
        self._plan += 1
        if not self._at_work:
            return
        turn = int(self._clock.now_s / SWING_S)
        self._swing = self._swings[(self._first + turn) % len(self._swings)]
        end_s = self._clock.now_s + max(0.0, self._at_work[0][0] - self._done_s) / self._speed
        swing_s = (turn + 1) * SWING_S
        self._clock.at(min(end_s, swing_s), partial(self._go_on, self._plan, end_s <= swing_s))

    def _go_on(self, plan: int, ends: bool) -> None:
        if plan != self._plan:
            return
        self._catch_up()
        if ends:
            self._done_s, _, bell = heappop(self._at_work)  # the number itself, not what rounding made of it
            bell.ring(self._clock)
        self._look_ahead()
