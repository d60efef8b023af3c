"""Who listens on the result port, and the answers kept for those who do not listen yet. Pure; the sink asks it.

A client may send its request before its subscription has arrived, or reconnect while its answer is computed. So an
answer without a listener is kept for `ttl_s`, within `max_bytes` for all, and goes out with the subscription.
"""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class _Kept:
    expires_s: float
    size: int
    frames: list[Any]


class Listeners:
    """Counts subscriptions by identity; keeps answers until there is one."""

    def __init__(self, ttl_s: float, max_bytes: int = 1 << 29) -> None:
        self._ttl_s = ttl_s
        self._max_bytes = max_bytes
        self._subscriptions: Counter[bytes] = Counter()
        self._kept: dict[bytes, deque[_Kept]] = {}
        self._kept_bytes = 0

    @property
    def kept(self) -> int:
        """How many answers wait for their client."""
        return sum(map(len, self._kept.values()))

    def __contains__(self, identity: bytes) -> bool:
        return self._subscriptions[identity] > 0

    def subscribed(self, identity: bytes) -> list[list[Any]]:
        """A subscription came. Returns the answers to publish now, in order."""
        self._subscriptions[identity] += 1
        kept = self._kept.pop(identity, deque())
        self._kept_bytes -= sum(answer.size for answer in kept)
        return [answer.frames for answer in kept]

    def unsubscribed(self, identity: bytes) -> None:
        """A subscription went."""
        self._subscriptions[identity] -= 1
        if self._subscriptions[identity] <= 0:
            del self._subscriptions[identity]

    def keep(self, identity: bytes, frames: list[Any], now_s: float) -> int:
        """Keep an answer that nobody listens for; returns how many others were given up to make room."""
        size = sum(len(frame) for frame in frames)
        self._kept.setdefault(identity, deque()).append(_Kept(now_s + self._ttl_s, size, frames))
        self._kept_bytes += size
        given_up = 0
        while self._kept_bytes > self._max_bytes:
            self._drop_oldest_of(min(self._kept, key=lambda other: self._kept[other][0].expires_s))
            given_up += 1
        return given_up

    def expire(self, now_s: float) -> int:
        """Give up answers that waited too long; returns how many."""
        given_up = 0
        for identity in list(self._kept):
            while identity in self._kept and self._kept[identity][0].expires_s <= now_s:
                self._drop_oldest_of(identity)
                given_up += 1
        return given_up

    def _drop_oldest_of(self, identity: bytes) -> None:
        answers = self._kept[identity]
        self._kept_bytes -= answers.popleft().size
        if not answers:
            del self._kept[identity]
