"""Bytes handed to the network and not sent yet, for each client. Pure; the sink asks it.

A client that reads slowly, or not at all, would make what waits for it on the network grow without end.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

MOST_BYTES = 1 << 26
"""For one client; a single larger answer goes out all the same."""


class Unsent:
    """Large answers on their way; small ones are bounded by their number in the socket."""

    def __init__(self) -> None:
        self._by_identity: dict[bytes, deque[tuple[Callable[[], bool], int]]] = {}

    def add(self, identity: bytes, size: int, is_sent: Callable[[], bool]) -> None:
        """An answer was handed over; `is_sent` tells when the network has it."""
        self._by_identity.setdefault(identity, deque()).append((is_sent, size))

    def has_room(self, identity: bytes, size: int) -> bool:
        """Whether an answer of that size may be handed over now."""
        waiting = self._by_identity.get(identity)
        if waiting is None:
            return True
        while waiting and waiting[0][0]():
            waiting.popleft()
        if not waiting:
            del self._by_identity[identity]
            return True
        return sum(size for _, size in waiting) + size <= MOST_BYTES

    def forget(self, identity: bytes) -> None:
        """Nobody listens any more."""
        self._by_identity.pop(identity, None)
