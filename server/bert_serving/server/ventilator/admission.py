"""How much accepted work may be in progress, and when to retry if that is full. Pure; the ventilator asks it."""

from __future__ import annotations

from collections import deque
from math import inf

PACE_WINDOW_S = 10.0
SHORTEST_WAIT_S = 0.05
LONGEST_WAIT_S = 5.0
"""Who waits longer than this asks in between: others may have given up."""


class Admission:
    """Counts the rows and bytes of open requests, and the bytes of their answers to come.

    One request alone is admitted whatever its size.
    """

    def __init__(self, max_rows: int, max_bytes: int, max_answer_bytes: float = inf) -> None:
        self._max_rows = max_rows
        self._max_bytes = max_bytes
        self._max_answer_bytes = max_answer_bytes
        self._rows = 0
        self._bytes = 0
        self._answer_bytes = 0
        self._answered: deque[tuple[float, int]] = deque()  # when, and how many rows

    @property
    def rows(self) -> int:
        """Rows of all open requests."""
        return self._rows

    @property
    def size(self) -> int:
        """Bytes of the texts of all open requests."""
        return self._bytes

    def admit(self, rows: int, size: int, answer_bytes: int = 0) -> bool:
        """Whether a request of so many rows and bytes may come in; it counts from now on if so."""
        if self._rows and self.full_for(rows, size, answer_bytes):
            return False
        self._rows += rows
        self._bytes += size
        self._answer_bytes += answer_bytes
        return True

    def full_for(self, rows: int, size: int, answer_bytes: int = 0) -> str:
        """What there is too much of for one more such request: an option's name, or none."""
        if self._rows + rows > self._max_rows:
            return "-max_queue"
        if self._bytes + size > self._max_bytes:
            return "-max_queue_mb"
        return "-max_answer_mb" if self._answer_bytes + answer_bytes > self._max_answer_bytes else ""

    def release(self, rows: int, size: int, answer_bytes: int = 0) -> None:
        """A request that was admitted is no longer open."""
        self._rows -= rows
        self._bytes -= size
        self._answer_bytes -= answer_bytes

    def answered(self, rows: int, now_s: float) -> None:
        """So many rows were computed and are out: this is the pace by which others wait."""
        self._answered.append((now_s, rows))
        self._forget(now_s)

    def wait_s(self, rows: int, now_s: float) -> float:
        """In how many seconds there may be room for so many rows, by the pace of late."""
        self._forget(now_s)
        if not self._answered:
            return LONGEST_WAIT_S / 5
        span_s = max(now_s - self._answered[0][0], SHORTEST_WAIT_S)
        pace = sum(count for _, count in self._answered) / span_s
        excess = min(self._rows, max(1, self._rows + rows - self._max_rows))
        return min(LONGEST_WAIT_S, max(SHORTEST_WAIT_S, excess / pace))

    def _forget(self, now_s: float) -> None:
        while self._answered and self._answered[0][0] < now_s - PACE_WINDOW_S:
            self._answered.popleft()
