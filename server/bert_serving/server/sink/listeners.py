"""Who listens on the result port, and the answers kept for clients that cannot take them yet. Pure; the sink asks it.

A client may send its request before its subscription has arrived, or reconnect while its answer is computed, or read
more slowly than it asks. So an answer that cannot be sent is kept for `ttl_s`, within bounds for all together.

Only so many clients are admitted; the others are refused until there is room. Subscriptions belong to connections: one
that ends takes along what it had, and nobody can end another's. `connection` is its serial number.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from itertools import count
from sys import maxsize
from typing import Any

from bert_serving.client.wire import MAX_IDENTITY_BYTES

MOST_KEPT = 2_000
"""Answers of each sort kept at once: strangers who ask by the thousand and never listen cost a few megabytes."""
MOST_RESULT_BYTES = 1 << 28
"""For all together; one alone may be twice as large."""
MOST_TALK_BYTES = 1 << 22
"""Of configs, statuses and errors, which cost nothing to ask for."""
MOST_AT_ONCE = 200
"""Answers that one turn gives up because their time is over."""
MOST_NAMES = 8
"""Identities that one connection may subscribe to; a client needs one. The library looks through all names of all when
a connection ends."""
MOST_NAME_BYTES = MAX_IDENTITY_BYTES + 1_024
"""Of all names of a connection: one of the longest, or some that are usual."""
MOST_BYTES_TOGETHER = 1 << 20
"""Of all names. The library takes a hundred times as much and more for them."""


@dataclass(slots=True)
class _Shelf:
    """Kept answers of one sort, the oldest first, within bounds."""

    max_bytes: int
    in_order: OrderedDict[int, _Kept] = field(default_factory=OrderedDict)
    size: int = 0

    @property
    def is_over(self) -> bool:
        return (self.size > self.max_bytes and len(self.in_order) > 1) or len(self.in_order) > MOST_KEPT

    @property
    def first(self) -> _Kept:
        return next(iter(self.in_order.values()))


@dataclass(slots=True)
class _Kept:
    serial: int
    identity: bytes
    expires_s: float
    size: int
    frames: list[Any]
    job: int
    shelf: _Shelf


class Listeners:
    """Which connection subscribes to which identities; keeps answers until there is one for theirs."""

    def __init__(self, ttl_s: float, max_clients: int = maxsize, max_bytes: int = MOST_RESULT_BYTES) -> None:
        self._ttl_s = ttl_s
        self._max_clients = max_clients
        self._connections: dict[bytes, set[int]] = {}
        self._identities: dict[int, set[bytes]] = {}
        self._name_bytes = 0
        self._refused: set[bytes] = set()
        self._serials = count()
        self._kept: dict[bytes, dict[int, _Kept]] = {}
        self._results, self._talk = self._shelves = _Shelf(max_bytes), _Shelf(MOST_TALK_BYTES)

    def __contains__(self, identity: bytes) -> bool:
        return identity in self._connections

    def __len__(self) -> int:
        """How many identities somebody subscribes to."""
        return len(self._connections)

    def connections(self, identity: bytes) -> frozenset[int]:
        """Which subscribe to it."""
        return frozenset(self._connections.get(identity, ()))

    def takes(self, connection: int, identity: bytes) -> bool:
        """Whether a connection may subscribe to that, too."""
        identities = self._identities.get(connection, ())
        size = sum(map(len, identities)) + len(identity)
        return identity in identities or (len(identities) < MOST_NAMES and size <= MOST_NAME_BYTES)

    def too_much(self) -> int | None:
        """The connection with the longest names, if those of all together take too much."""
        if self._name_bytes <= MOST_BYTES_TOGETHER:
            return None
        return max(self._identities, key=lambda connection: sum(map(len, self._identities[connection])))

    def subscribed(self, connection: int, identity: bytes) -> bool:
        """A subscription came; False if that connection has it already."""
        identities = self._identities.setdefault(connection, set())
        if identity in identities:
            return False
        if identity not in self and not self._has_room:
            self._refused.add(identity)
        identities.add(identity)
        self._name_bytes += len(identity)
        self._connections.setdefault(identity, set()).add(connection)
        return True

    def unsubscribed(self, connection: int, identity: bytes) -> bool:
        """A subscription went; False if that connection had none, which changes nothing for others."""
        identities = self._identities.get(connection, set())
        if identity not in identities:
            return False
        identities.discard(identity)
        if not identities:
            del self._identities[connection]
        self._leave(connection, identity)
        return True

    def gone(self, connection: int) -> list[bytes]:
        """A connection ended; returns the identities that nobody subscribes to any more."""
        identities = self._identities.pop(connection, set())
        for identity in identities:
            self._leave(connection, identity)
        return [identity for identity in identities if identity not in self]

    def _leave(self, connection: int, identity: bytes) -> None:
        self._name_bytes -= len(identity)
        others = self._connections[identity]
        others.discard(connection)
        if not others:
            del self._connections[identity]
            self._refused.discard(identity)

    @property
    def _has_room(self) -> bool:
        return len(self._connections) - len(self._refused) < self._max_clients

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
        self._take_out(kept)
        return kept.job

    def keep(self, identity: bytes, frames: list[Any], now_s: float, job: int = 0) -> list[int]:
        """Keep an answer that cannot be sent; 0 is the job of talk.

        Returns the jobs given up: those of older answers to make room, or this one if it is too large by itself.
        """
        shelf = self._results if job else self._talk
        size = sum(len(frame) for frame in frames)
        if size > 2 * shelf.max_bytes:
            return [job]
        kept = _Kept(next(self._serials), identity, now_s + self._ttl_s, size, frames, job, shelf)
        self._kept.setdefault(identity, {})[kept.serial] = kept
        shelf.in_order[kept.serial] = kept
        shelf.size += size
        given_up = []
        while shelf.is_over:
            given_up.append(self._drop_first(shelf))
        return given_up

    def expire(self, now_s: float) -> list[int]:
        """Give up answers that waited too long, some of them if there are many; returns their jobs."""
        given_up: list[int] = []
        for shelf in self._shelves:
            while shelf.in_order and shelf.first.expires_s <= now_s and len(given_up) < MOST_AT_ONCE:
                given_up.append(self._drop_first(shelf))
        return given_up

    def _drop_first(self, shelf: _Shelf) -> int:
        """Give up the oldest of a sort."""
        first = shelf.first
        self._take_out(first)
        return first.job

    def _take_out(self, kept: _Kept) -> None:
        kept.shelf.size -= kept.size
        del kept.shelf.in_order[kept.serial]
        answers = self._kept[kept.identity]
        del answers[kept.serial]
        if not answers:
            del self._kept[kept.identity]
