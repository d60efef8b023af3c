"""Whose kept answers to try next: in turn, and less often the longer a client has not read. Pure.

A client that does not read costs a try now and then, however many there are; other clients never wait for it.
"""

from __future__ import annotations

from collections.abc import Iterator
from heapq import heappop, heappush
from itertools import count

FIRST_WAIT_S = 0.005
LONGEST_WAIT_S = 1.0


class Retries:
    """Identities, each due at a time of its own."""

    def __init__(self) -> None:
        self._waits_s: dict[bytes, float] = {}
        self._turns: dict[bytes, tuple[float, int]] = {}
        """When, and after whom of those that are due at the same time."""
        self._heap: list[tuple[float, int, bytes]] = []
        """May hold what is out of date: only what agrees with `_turns` counts."""
        self._serials = count()

    def __contains__(self, identity: bytes) -> bool:
        return identity in self._turns

    @property
    def next_s(self) -> float:
        """When the next one is due; infinity if there is none."""
        self._drop_old()
        return self._heap[0][0] if self._heap else float("inf")

    def soon(self, identity: bytes, now_s: float) -> None:
        """Try it at its next turn: there is somebody to read, or more is left after a success."""
        self._waits_s.pop(identity, None)
        self._set(identity, now_s)

    def later(self, identity: bytes, now_s: float) -> None:
        """Its reader was full: twice as long as before."""
        wait_s = min(self._waits_s.get(identity, FIRST_WAIT_S / 2) * 2, LONGEST_WAIT_S)
        self._waits_s[identity] = wait_s
        self._set(identity, now_s + wait_s)

    def forget(self, identity: bytes) -> None:
        """Nothing is left for it, or nobody listens."""
        self._waits_s.pop(identity, None)
        self._turns.pop(identity, None)

    def due(self, now_s: float) -> Iterator[bytes]:
        """Those that are due at this time, one by one; each is out until it is said again when to try it."""
        while self.next_s <= now_s:
            *_, identity = heappop(self._heap)
            del self._turns[identity]
            yield identity

    def _set(self, identity: bytes, due_s: float) -> None:
        self._turns[identity] = turn = due_s, next(self._serials)
        heappush(self._heap, (*turn, identity))
        if len(self._heap) > 2 * len(self._turns) + 64:
            self._heap = sorted((*turn, identity) for identity, turn in self._turns.items())

    def _drop_old(self) -> None:
        while self._heap and self._turns.get(self._heap[0][2]) != self._heap[0][:2]:
            heappop(self._heap)
