"""First answers and subscriptions, matched one to one, for clients that ask once and wait forever. Pure.

A client of 1.10 subscribes and asks its first question at once, over two connections. If others of its identity are
subscribed, a clone or a client that is just leaving, and its own subscription comes second, its answer is published to
them alone. So each subscription is set against one first answer. An answer for which none has come yet is that of the
next one; who subscribes in time gets nobody else's.
"""

from __future__ import annotations

from collections import deque
from typing import Any

WAIT_S = 10.0
"""How much later than the answer to its first question a subscription may come, or earlier."""

MOST_WAITING = 8
"""Of one identity: whoever asks and asks and subscribes once does not fill the memory."""

MOST_TOGETHER = 20_000
"""Of all identities: whoever comes under ever new names drives out the oldest, and fills no memory either."""


class FirstAnswers:
    """What waits for its match, by identity: either first answers or subscriptions, never both."""

    def __init__(self) -> None:
        self._waiting: dict[bytes, deque[tuple[float, list[Any] | None]]] = {}  # None is a subscription
        self._ends: deque[tuple[float, bytes]] = deque()

    def sent(self, identity: bytes, frames: list[Any], now_s: float) -> None:
        """A first answer is out, to all of this identity that had subscribed."""
        self._match(identity, frames, now_s)

    def subscribed(self, identity: bytes, now_s: float) -> list[Any] | None:
        """A subscription came; returns the answer that it missed."""
        return self._match(identity, None, now_s)

    def expire(self, now_s: float) -> None:
        """Forget what has waited too long."""
        while self._ends and self._ends[0][0] <= now_s:
            self._drop_oldest()

    def _drop_oldest(self) -> None:
        end_s, identity = self._ends.popleft()
        waiting = self._waiting.get(identity)
        if waiting and waiting[0][0] <= end_s:
            self._pop(identity, waiting)

    def _match(self, identity: bytes, frames: list[Any] | None, now_s: float) -> list[Any] | None:
        waiting = self._waiting.setdefault(identity, deque())
        if waiting and (waiting[0][1] is None) is not (frames is None):
            return self._pop(identity, waiting)
        if len(waiting) < MOST_WAITING:
            waiting.append((now_s + WAIT_S, frames))
            self._ends.append((now_s + WAIT_S, identity))
            if len(self._ends) > MOST_TOGETHER:
                self._drop_oldest()
        return None

    def _pop(self, identity: bytes, waiting: deque[tuple[float, list[Any] | None]]) -> list[Any] | None:
        _, frames = waiting.popleft()
        if not waiting:
            del self._waiting[identity]
        return frames
