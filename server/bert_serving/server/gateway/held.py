"""Bytes that HTTP requests hold, all together: bodies before they are read, answers before they are computed. Pure.

promised ──hold──▶ arriving ──received──▶ whole ──release──▶ answered
                      └──give_up──▶ refused   slower than may be, while another needs the room
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

UNCOUNTED_BYTES = 1 << 16
"""A body up to this size is not counted: the number of connections bounds those, and small requests always get in."""

PATIENCE_S = 2.0
LEAST_BYTES_A_SECOND = 1 << 20
"""A body that is slower than this, after its first `PATIENCE_S`, makes room where another needs it."""


@dataclass(eq=False)
class Body:
    """One that comes. `size`: what it holds, which was promised or has come."""

    begun_s: float
    give_up: Callable[[], None]
    size: int = 0
    received: int = 0
    is_whole: bool = False

    def is_slow(self, now_s: float) -> bool:
        return not self.is_whole and now_s - self.begun_s > PATIENCE_S + self.received / LEAST_BYTES_A_SECOND


class Bodies:
    """At most `most` bytes of them."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._bodies: dict[Body, None] = {}  # the oldest first
        self.held = 0

    def hold(self, body: Body, size: int, now_s: float) -> bool:
        """Let it have `size` bytes; False if there is no room, not even without those that are slow."""
        more = size - body.size
        if more <= 0 or size <= UNCOUNTED_BYTES:
            return True
        if not self._make_room(more, body, now_s):
            return False
        self._bodies[body] = None
        body.size = size
        self.held += more
        return True

    def release(self, body: Body) -> None:
        """It is not needed any more; a second time does nothing."""
        if body in self._bodies:
            del self._bodies[body]
            self.held -= body.size
            body.size = 0

    def _make_room(self, size: int, but: Body, now_s: float) -> bool:
        room = self._most - self.held
        slow = [body for body in self._bodies if body is not but and body.is_slow(now_s)]
        if room + sum(body.size for body in slow) < size:
            return False
        for body in slow:
            if self._most - self.held >= size:
                break
            self.release(body)
            body.give_up()
        return True


class Answers:
    """At most `most` bytes of vectors, of all requests that are at work or being sent. May be used by any thread."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.held = 0
        self._lock = threading.Lock()

    def hold(self, size: int) -> bool:
        """False if there is no room."""
        with self._lock:
            if self.held + size > self.most:
                return False
            self.held += size
            return True

    def release(self, size: int) -> None:
        with self._lock:
            self.held -= size

    def correct(self, expected: int, size: int) -> None:
        """An answer is there, and has another size than was expected."""
        with self._lock:
            self.held += size - expected
