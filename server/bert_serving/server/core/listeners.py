"""Who listens on the result port, and the answers kept for those who cannot take them yet. Pure; the sink asks it.

A client may send its request before its subscription has arrived, or reconnect while its answer is computed, or read
more slowly than it asks. So an answer that cannot be sent is kept for `ttl_s`, within bounds for all together.

Only so many clients are admitted; the others are refused until there is room.
"""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, field
from itertools import count
from sys import maxsize
from typing import Any

MOST_KEPT = 2_000
"""Answers of each sort kept at once: strangers who ask by the thousand and never listen cost a few megabytes."""
MOST_RESULT_BYTES = 1 << 29
MOST_TALK_BYTES = 1 << 22
"""Of configs, statuses and errors, which cost nothing to ask for."""


@dataclass(slots=True)
class _Shelf:
    """Kept answers of one sort, the oldest first, within bounds; what was sent goes when it is first."""

    max_bytes: int
    in_order: deque[_Kept] = field(default_factory=deque)
    size: int = 0
    number: int = 0

    @property
    def is_over(self) -> bool:
        return self.size > self.max_bytes or self.number > MOST_KEPT


@dataclass(slots=True)
class _Kept:
    serial: int
    identity: bytes
    expires_s: float
    size: int
    frames: list[Any]
    job: int
    shelf: _Shelf
    is_sent: bool = False


class Listeners:
    """Counts subscriptions by identity; keeps answers until there is one."""

    def __init__(self, ttl_s: float, max_clients: int = maxsize, max_bytes: int = MOST_RESULT_BYTES) -> None:
        self._ttl_s = ttl_s
        self._max_clients = max_clients
        self._subscriptions: Counter[bytes] = Counter()
        self._refused: set[bytes] = set()
        self._serials = count()
        self._kept: dict[bytes, dict[int, _Kept]] = {}
        self._results, self._talk = self._shelves = _Shelf(max_bytes), _Shelf(MOST_TALK_BYTES)

    def __contains__(self, identity: bytes) -> bool:
        return self._subscriptions[identity] > 0

    def subscribed(self, identity: bytes) -> None:
        """A subscription came."""
        if identity not in self and not self._has_room:
            self._refused.add(identity)
        self._subscriptions[identity] += 1

    @property
    def _has_room(self) -> bool:
        return len(self._subscriptions) - len(self._refused) < self._max_clients

    def refuses(self, identity: bytes) -> bool:
        """Whether this client is one too many still."""
        if identity in self._refused and self._has_room:
            self._refused.discard(identity)
        return identity in self._refused

    def next_kept(self, identity: bytes) -> list[Any] | None:
        """The oldest answer that is kept for it."""
        return next(iter(self._kept[identity].values())).frames if identity in self._kept else None

    def sent(self, identity: bytes) -> int:
        """That answer is out; returns the number of its job."""
        kept = next(iter(self._kept[identity].values()))
        kept.is_sent = True
        self._take_out(kept)
        return kept.job

    def unsubscribed(self, identity: bytes) -> None:
        """A subscription went."""
        self._subscriptions[identity] -= 1
        if self._subscriptions[identity] <= 0:
            del self._subscriptions[identity]
            self._refused.discard(identity)

    def keep(self, identity: bytes, frames: list[Any], now_s: float, job: int = 0) -> list[int]:
        """Keep an answer that cannot be sent; 0 is the job of talk.

        Returns the jobs given up: those of older answers to make room, or this one if it is too large by itself.
        """
        shelf = self._results if job else self._talk
        size = sum(len(frame) for frame in frames)
        if size > shelf.max_bytes:
            return [job]
        kept = _Kept(next(self._serials), identity, now_s + self._ttl_s, size, frames, job, shelf)
        self._kept.setdefault(identity, {})[kept.serial] = kept
        shelf.in_order.append(kept)
        shelf.size += size
        shelf.number += 1
        given_up = []
        while shelf.is_over:
            given_up += self._drop_first(shelf)
        return given_up

    def expire(self, now_s: float) -> list[int]:
        """Give up answers that waited too long; returns their jobs."""
        given_up = []
        for shelf in self._shelves:
            while shelf.in_order and (shelf.in_order[0].is_sent or shelf.in_order[0].expires_s <= now_s):
                given_up += self._drop_first(shelf)
        return given_up

    def _drop_first(self, shelf: _Shelf) -> list[int]:
        """Give up the oldest of a sort; nothing if it was sent already."""
        first = shelf.in_order.popleft()
        if first.is_sent:
            return []
        self._take_out(first)
        return [first.job]

    def _take_out(self, kept: _Kept) -> None:
        kept.shelf.size -= kept.size
        kept.shelf.number -= 1
        answers = self._kept[kept.identity]
        del answers[kept.serial]
        if not answers:
            del self._kept[kept.identity]
