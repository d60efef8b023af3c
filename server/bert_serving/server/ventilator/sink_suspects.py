"""Requests that were in the sink at more than one of its deaths: each runs alone, and in the end is given up. Pure.

A sink that dies takes what it has with it, and all of it comes again. If an answer itself is what the sink cannot hold,
that would go on forever. So a request that was there at `SUSPECT_DEATHS` deaths runs before all others, and alone;
after `ALONE_DEATHS` more deaths it is given up. One of them may be an operator's kill.
"""

from __future__ import annotations

from collections import deque

SUSPECT_DEATHS = 2
ALONE_DEATHS = 2


class SinkSuspects:
    """Jobs by number."""

    def __init__(self) -> None:
        self._deaths: dict[int, int] = {}
        self._in_sink: set[int] = set()
        self._held: deque[int] = deque()
        self.alone: int | None = None
        """The one that runs alone now."""

    @property
    def are_waiting(self) -> bool:
        """Whether the next one is to run now."""
        return self.alone is None and bool(self._held)

    def has_rows(self, job: int) -> None:
        """Rows of this one are on their way to the sink."""
        self._in_sink.add(job)

    def next(self) -> int:
        """Begin with the one that waits longest."""
        self.alone = self._held.popleft()
        return self.alone

    def closed(self, job: int) -> None:
        """This one is over."""
        self._in_sink.discard(job)
        self._deaths.pop(job, None)
        if job == self.alone:
            self.alone = None
        elif job in self._held:
            self._held.remove(job)

    def sink_died(self) -> list[int]:
        """Returns those that are given up; they are still to be closed."""
        blamed = self._in_sink if self.alone is None else self._in_sink & {self.alone}
        self._in_sink = set()
        if self.alone is not None:
            self._held.appendleft(self.alone)
            self.alone = None
        for job in sorted(blamed):
            self._deaths[job] = self._deaths.get(job, 0) + 1
            if self._deaths[job] == SUSPECT_DEATHS:
                self._held.append(job)
        return [job for job in blamed if self._deaths[job] >= SUSPECT_DEATHS + ALONE_DEATHS]

    def is_held(self, job: int) -> bool:
        """Whether this one is not to run yet."""
        return job in self._held
