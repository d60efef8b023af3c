"""Bytes handed to the network but not sent yet, for each client and in total. Pure; the sink asks it.

A client that reads slowly, or not at all, would make what waits for it on the network grow without end, and a thousand
such clients would do so together.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

MOST_BYTES = 1 << 26
"""For one client; a single larger answer goes out all the same, if there is room for it among all."""
MOST_TOGETHER = 1 << 28
"""For all clients. Beyond that only who has less than an equal share gets more, and one larger answer at a time."""
SWEEP_S = 0.1
"""How often all clients are looked at while there is no room."""
STUCK_S = 20.0
"""Who has read nothing for so long, while there is no room for others, has to go."""
FOLLOWED = 1 << 16
"""Small answers are followed together, for so many bytes at a time: to follow each would cost more than to send it."""
OVERHEAD = 300
"""Bytes that an answer costs besides its content."""


@dataclass(slots=True)
class _Waiting:
    """Of one client."""

    followed: deque[tuple[Callable[[], bool], int]] = field(default_factory=deque)
    size: int = 0
    loose: int = 0
    """Bytes of small answers that no followed one has come after."""
    moved_s: float = 0.0
    """When some of it was last seen to be sent."""


class Unsent:
    """Answers on their way. An answer goes out after those before it, so a followed one tells of all of them."""

    def __init__(self, most_bytes: int = MOST_BYTES, most_together: int = MOST_TOGETHER) -> None:
        self._most_bytes = most_bytes
        self._most_together = most_together
        self._waiting: dict[bytes, _Waiting] = {}
        self._together = 0
        self._swept_s = float("-inf")
        self._giant: bytes | None = None
        """Who has an answer beyond its share on its way."""

    @property
    def size(self) -> int:
        """Of all clients, as far as it is known."""
        return self._together

    def is_followed(self, identity: bytes, size: int) -> bool:
        """Whether an answer of that size should be followed."""
        waiting = self._waiting.get(identity)
        return size + OVERHEAD + (waiting.loose if waiting else 0) >= FOLLOWED

    def add(self, identity: bytes, size: int, is_sent: Callable[[], bool] | None, now_s: float) -> None:
        """An answer was handed over; `is_sent` tells when the network has it, None if it is not followed."""
        waiting = self._waiting.get(identity)
        if waiting is None:
            waiting = self._waiting[identity] = _Waiting(moved_s=now_s)
        if not waiting.followed:
            waiting.moved_s = now_s
        if size > self._most_together // len(self._waiting):
            self._giant = identity
        waiting.loose += size + OVERHEAD
        if is_sent is not None:
            waiting.followed.append((is_sent, waiting.loose))
            waiting.size += waiting.loose
            self._together += waiting.loose
            waiting.loose = 0

    def has_room(self, identity: bytes, size: int, now_s: float) -> bool:
        """Whether an answer of that size may be handed over now."""
        if (waiting := self._waiting.get(identity)) is not None:
            self._look(identity, waiting, now_s)
        own = waiting.size if waiting is not None else 0
        if own and own + size > self._most_bytes:
            return False
        if self._together + size > self._most_together and now_s >= self._swept_s + SWEEP_S:
            self._sweep(now_s)
        if self._together + size <= self._most_together:
            return True
        if own + size <= self._most_together // (len(self._waiting) + (waiting is None)):
            return True
        return not own and self._giant is None

    def stuck(self, now_s: float) -> bytes | None:
        """When there is hardly room for others: the client with the most bytes among those that seem to read nothing.

        A single large answer is not seen to move before it is out; whoever knows better says `moved`.
        """
        if self._together < self._most_together // 2:
            return None
        self._sweep(now_s)
        still = [(w.size, identity) for identity, w in self._waiting.items() if w.moved_s + STUCK_S <= now_s]
        size, identity = max(still, default=(0, b""))
        return identity if size else None

    def moved(self, identity: bytes, now_s: float) -> None:
        """It reads, though slowly."""
        if identity in self._waiting:
            self._waiting[identity].moved_s = now_s

    def _sweep(self, now_s: float) -> None:
        self._swept_s = now_s
        for identity, waiting in self._waiting.items():
            self._look(identity, waiting, now_s)

    def forget(self, identity: bytes) -> None:
        """Nobody listens any more."""
        waiting = self._waiting.pop(identity, None)
        if waiting is not None:
            self._together -= waiting.size
        if identity == self._giant:
            self._giant = None

    def _look(self, identity: bytes, waiting: _Waiting, now_s: float) -> None:
        while waiting.followed and waiting.followed[0][0]():
            size = waiting.followed.popleft()[1]
            waiting.size -= size
            self._together -= size
            waiting.moved_s = now_s
        if identity == self._giant and not waiting.followed:
            self._giant = None
