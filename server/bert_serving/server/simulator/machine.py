"""The cores of a simulated machine, which all that is at work on it shares.

Work is given in seconds of a core. With more at work than there are cores, all go on at the same, lower speed.
"""

from __future__ import annotations

from functools import partial
from heapq import heappop, heappush
from itertools import count
from math import inf

from bert_serving.server.simulator.events import Bell, Clock, Pause


class Machine:
    """`busy_lanes` counts the lanes that compute on it: they slow one another down beyond what they take of the cores.

    All that is at work goes at the same speed, so one number follows it all: `_done_s`, which grows with the speed of
    the moment. What begins when it is 3 and needs 2 is ready when it is 5.
    """

    def __init__(self, clock: Clock, cores: float = inf) -> None:
        self.busy_lanes = 0
        self._clock = clock
        self._cores = cores
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
        return min(1.0, self._cores / max(1, len(self._at_work)))

    def _catch_up(self) -> None:
        self._done_s += (self._clock.now_s - self._known_s) * self._speed
        self._known_s = self._clock.now_s

    def _look_ahead(self) -> None:
        """Plan for the end of what ends first, unless something else begins before."""
        self._plan += 1
        if self._at_work:
            left_s = max(0.0, self._at_work[0][0] - self._done_s)
            self._clock.after(left_s / self._speed, partial(self._end, self._plan))

    def _end(self, plan: int) -> None:
        if plan != self._plan:
            return
        self._catch_up()
        self._done_s, _, bell = heappop(self._at_work)  # the number itself, not what rounding made of it
        bell.ring(self._clock)
        self._look_ahead()
