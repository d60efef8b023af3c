"""Who listens on the result port, and the answers kept for those who cannot take them yet. Pure; the sink asks it.

A client may send its request before its subscription has arrived, or reconnect while its answer is computed, or read
more slowly than it asks. So an answer that cannot be sent is kept for `ttl_s`, within bounds for all together.

A clone, which shares the identity of a client that listens already, may be as late: the answer to its first question
is then published to the other alone. So first answers are remembered for a while, for those who missed them.
"""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass
from typing import Any

REMEMBER_FIRST_S = 10.0
"""How much later than its first question the subscription of a clone may arrive."""


MOST_KEPT = 4_000
"""Answers kept at once: strangers who ask by the thousand and never listen cost a few megabytes."""


@dataclass(slots=True)
class _Kept:
    identity: bytes
    expires_s: float
    size: int
    frames: list[Any]
    is_sent: bool = False


class Listeners:
    """Counts subscriptions by identity; keeps answers until there is one."""

    def __init__(self, ttl_s: float, max_bytes: int = 1 << 29) -> None:
        self._ttl_s = ttl_s
        self._max_bytes = max_bytes
        self._subscriptions: Counter[bytes] = Counter()
        self._kept: dict[bytes, deque[_Kept]] = {}
        self._in_order: deque[_Kept] = deque()  # all of them, the oldest first; what was sent goes when it is first
        self._kept_bytes = self._kept_number = 0
        self._first: dict[bytes, tuple[float, list[Any]]] = {}

    def __contains__(self, identity: bytes) -> bool:
        return self._subscriptions[identity] > 0

    def subscribed(self, identity: bytes) -> None:
        """A subscription came."""
        self._subscriptions[identity] += 1

    def next_kept(self, identity: bytes) -> list[Any] | None:
        """The oldest answer that is kept for it."""
        return self._kept[identity][0].frames if identity in self._kept else None

    def sent(self, identity: bytes) -> None:
        """That answer is out."""
        self._take_out(identity).is_sent = True

    def remember_first(self, identity: bytes, frames: list[Any], now_s: float) -> None:
        """Remember what was published as the answer to a first question, if anybody listened."""
        if identity in self:
            self._first.pop(identity, None)  # they stand in the order of their time
            self._first[identity] = (now_s + REMEMBER_FIRST_S, frames)

    def missed(self, identity: bytes) -> list[Any] | None:
        """The first answer that a new subscriber may have missed, because others listened in its place."""
        if identity not in self._first or self._subscriptions[identity] < 2:
            return None
        return self._first[identity][1]

    def unsubscribed(self, identity: bytes) -> None:
        """A subscription went."""
        self._subscriptions[identity] -= 1
        if self._subscriptions[identity] <= 0:
            del self._subscriptions[identity]

    def keep(self, identity: bytes, frames: list[Any], now_s: float) -> int:
        """Keep an answer that cannot be sent; returns how many others were given up to make room."""
        kept = _Kept(identity, now_s + self._ttl_s, sum(len(frame) for frame in frames), frames)
        self._kept.setdefault(identity, deque()).append(kept)
        self._in_order.append(kept)
        self._kept_bytes += kept.size
        self._kept_number += 1
        given_up = 0
        while self._kept_bytes > self._max_bytes or self._kept_number > MOST_KEPT:
            given_up += self._drop_first()
        return given_up

    def expire(self, now_s: float) -> int:
        """Give up answers that waited too long; returns how many."""
        given_up = 0
        while self._in_order and (self._in_order[0].is_sent or self._in_order[0].expires_s <= now_s):
            given_up += self._drop_first()
        while self._first:
            identity, (expires_s, _) = next(iter(self._first.items()))
            if expires_s > now_s:
                break
            del self._first[identity]
        return given_up

    def _drop_first(self) -> int:
        """Give up the oldest of all; 0 if it was sent already."""
        first = self._in_order.popleft()
        if first.is_sent:
            return 0
        self._take_out(first.identity)
        return 1

    def _take_out(self, identity: bytes) -> _Kept:
        answers = self._kept[identity]
        oldest = answers.popleft()
        self._kept_bytes -= oldest.size
        self._kept_number -= 1
        if not answers:
            del self._kept[identity]
        return oldest
