"""Who is next where some are urgent. Pure; a worker's tokenizing threads ask it."""

from __future__ import annotations

from collections import deque
from typing import Generic, TypeVar

T = TypeVar("T")

URGENT_TURNS = 4
"""After so many urgent turns one goes to those that are not, if any wait."""


class Turns(Generic[T]):
    """Those that wait for a turn, each class in order; who needs another one is added again, behind the others."""

    def __init__(self) -> None:
        self._waiting: dict[bool, deque[T]] = {True: deque(), False: deque()}
        self._urgent_turns = 0

    def add(self, one: T, *, urgent: bool) -> None:
        self._waiting[urgent].append(one)

    def clear(self) -> None:
        """Forget all."""
        for waiting in self._waiting.values():
            waiting.clear()

    def next(self) -> T | None:
        """Who has this turn, and waits no more; None if nobody waits."""
        urgent, others = self._waiting[True], self._waiting[False]
        if not urgent and not others:
            return None
        is_urgent = bool(urgent) and (not others or self._urgent_turns < URGENT_TURNS)
        self._urgent_turns = self._urgent_turns + 1 if is_urgent else 0
        return self._waiting[is_urgent].popleft()
