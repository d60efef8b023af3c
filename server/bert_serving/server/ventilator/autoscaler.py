"""How many workers there should be, and which may be released. Pure; the ventilator asks it.

While a worker has anything in flight it computes so many rows a second: that pace is measured as the service runs. The
rows that are open, at the pace of all workers that are there or on their way, tell how long a request that comes now
would wait. When that is too long for a while there should be more workers, and one that had nothing to do for long may
go if the others suffice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, exp

from bert_serving.server.ventilator.loads import Loads

DECIDE_INTERVAL_S = 0.1
LONG_S = 1.0
"""So long requests have to wait too long before workers are added: the pace is uncertain when work begins."""
PACE_S = 20.0
"""Seconds at work, of all workers together, after which what was measured before counts a third."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """From `least` to `most` workers: more when requests would wait `up_wait_s`, fewer after `idle_s` without work."""

    least: int
    most: int
    up_wait_s: float
    idle_s: float


@dataclass(frozen=True, slots=True)
class Change:
    """So many workers more, or one of them less."""

    add: int = 0
    release: str | None = None


@dataclass(frozen=True, slots=True)
class _Idle:
    since_s: float
    given: int


class Autoscaler:
    """Sees all turns of the service, and decides now and then."""

    def __init__(self, bounds: Bounds) -> None:
        self._bounds = bounds
        self._rows = self._busy_s = 0.0  # what the pace is made of
        self._seen_s = 0.0
        self._seen_busy = self._seen_rows = 0
        self._decided_s = 0.0
        self._long_since_s: float | None = None
        self._idle: dict[str, _Idle] = {}

    def see(self, loads: Loads, now_s: float) -> None:
        """At every turn: who is at work and what has been computed."""
        busy_s = self._seen_busy * (now_s - self._seen_s)
        kept = exp(-busy_s / PACE_S)
        rows = max(0, loads.computed_rows - self._seen_rows)  # a new sink lets all start over
        self._rows = kept * self._rows + rows
        self._busy_s = kept * self._busy_s + busy_s
        self._seen_s, self._seen_busy, self._seen_rows = now_s, loads.num_busy, loads.computed_rows

    def wait_s(self, open_rows: int, workers: int) -> float:
        """How long a request would wait that comes now; at least as long as nothing was computed so far."""
        if not open_rows or not workers:
            return 0.0
        return self._busy_s / workers * (open_rows / self._rows if self._rows else 1.0)

    def is_due(self, now_s: float) -> bool:
        """Whether it is time to decide, if there is anything to be decided at all."""
        return self._bounds.least < self._bounds.most and now_s >= self._decided_s + DECIDE_INTERVAL_S

    def decide(self, open_rows: int, workers: Sequence[str], loads: Loads, now_s: float) -> Change:
        """What to do about `workers`, which are all that are there or on their way, the first to stay longest."""
        self._decided_s = now_s
        self._watch_idle(workers, loads, now_s)
        wait_s = self.wait_s(open_rows, len(workers))
        if wait_s <= self._bounds.up_wait_s:
            self._long_since_s = None
            return Change(release=self._spare(open_rows, workers, now_s))
        if self._long_since_s is None:
            self._long_since_s = now_s
        if now_s < self._long_since_s + LONG_S:
            return Change()
        self._long_since_s = None
        wanted = ceil(len(workers) * wait_s / self._bounds.up_wait_s)
        wanted = min(wanted, 2 * len(workers), self._bounds.most)  # step by step: it is an estimate
        return Change(add=max(0, wanted - len(workers)))

    def _watch_idle(self, workers: Sequence[str], loads: Loads, now_s: float) -> None:
        before, self._idle = self._idle, {}
        for worker in workers:
            load = loads.get(worker)
            if load is not None and not load.is_empty:
                continue
            given = 0 if load is None else load.given
            known = before.get(worker)
            self._idle[worker] = known if known and known.given == given else _Idle(now_s, given)

    def _spare(self, open_rows: int, workers: Sequence[str], now_s: float) -> str | None:
        """The last of those that had nothing to do for long, if so many need not be there."""
        if len(workers) <= self._bounds.least:
            return None
        if self.wait_s(open_rows, len(workers) - 1) > self._bounds.up_wait_s:
            return None
        since_s = now_s - self._bounds.idle_s
        return next((w for w in reversed(workers) if w in self._idle and self._idle[w].since_s <= since_s), None)
