"""Tells whether what threads have begun takes too long. Pure; the thread that must never hang asks it now and then.

Its clock counts the time that this process was awake: a look that comes late counts as `MOST_S`, so that who stopped
the process, or the machine with it, is not taken for a hung thread.
"""

from __future__ import annotations

MOST_S = 2.0
"""Counted between two looks, which should come about every second."""


class Watch:
    """Threads by name, and since when each is at work. `limit_s` is how long that may take."""

    def __init__(self, limit_s: float) -> None:
        self._limit_s = limit_s
        self._awake_s = 0.0
        self._looked_s: float | None = None
        self._begun: dict[str, tuple[float, float]] = {}
        self._ended_s = 0.0
        self._waits_since_s: float | None = None

    def begin(self, name: str, now_s: float, limit_s: float | None = None) -> None:
        """A thread begins a piece of work, with a limit of its own if need be, which then counts for all others too.

        They may wait for it: while code is made for one micro-batch, other micro-batches may have to wait.
        """
        self._begun[name] = self._awake_at(now_s), limit_s or self._limit_s

    def end(self, name: str, now_s: float) -> None:
        """A thread has ended its piece of work."""
        _, limit_s = self._begun.pop(name, (0.0, 0.0))
        self._ended_s = self._awake_at(now_s)
        if limit_s > self._limit_s:  # what stood still meanwhile starts over
            self._begun.update({other: (self._ended_s, limit) for other, (_, limit) in self._begun.items()})

    def look(self, now_s: float, *, waiting: bool) -> float | None:
        """For how many seconds a piece of work has run, or what waits has waited, if that is too long; else None.

        `waiting`: whether there is work that no thread has begun.
        """
        self._awake_s = self._awake_at(now_s)
        self._looked_s = now_s
        if not waiting:
            self._waits_since_s = None
        elif self._waits_since_s is None:
            self._waits_since_s = self._awake_s
        limit_s = max((limit for _, limit in self._begun.values()), default=self._limit_s)
        since = [begin_s for begin_s, _ in self._begun.values()]
        if self._waits_since_s is not None:
            since.append(max(self._waits_since_s, self._ended_s))
        lasted_s = self._awake_s - min(since, default=self._awake_s)
        return lasted_s if lasted_s > limit_s else None

    def _awake_at(self, now_s: float) -> float:
        return self._awake_s + (0.0 if self._looked_s is None else min(max(0.0, now_s - self._looked_s), MOST_S))
