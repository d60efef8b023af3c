"""Connections that send a lot take turns, so that what others ask passes in between.

`protocol.py` has one `Turns` for all connections of the gateway, and a `TurnedFlow` for each.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any

from uvicorn.protocols.http.flow_control import FlowControl

LIGHT_BYTES = 1 << 16
"""Of one request; who has sent more takes turns with others that have."""


class Turns:
    """In each round of the event loop, one of those that asked goes on."""

    def __init__(self) -> None:
        self._waiting: deque[Callable[[], None]] = deque()
        self._is_due = False

    def ask(self, go_on: Callable[[], None]) -> None:
        """Have it called once, behind all that asked before."""
        self._waiting.append(go_on)
        self._expect()

    def _expect(self) -> None:
        if self._waiting and not self._is_due:
            self._is_due = True
            asyncio.get_running_loop().call_soon(self._next)

    def _next(self) -> None:
        self._is_due = False
        go_on = self._waiting.popleft()
        self._expect()
        go_on()


class Places:
    """So many of those that ask are at work at a time."""

    def __init__(self, most: int) -> None:
        self._free = most
        self._waiting: deque[Callable[[], None]] = deque()

    def ask(self, go_on: Callable[[], None]) -> None:
        """Have it called once there is a place, which it has until it calls `leave`."""
        self._waiting.append(go_on)
        self._give()

    def leave(self) -> None:
        """Let the next one have it."""
        self._free += 1
        self._give()

    def _give(self) -> None:
        if self._free and self._waiting:
            self._free -= 1
            asyncio.get_running_loop().call_soon(self._waiting.popleft())


class TurnedFlow(FlowControl):
    """uvicorn's, which reads on at once. While its request `is_heavy`, this one waits for its turn before it does."""

    def __init__(self, transport: Any, turns: Turns) -> None:
        super().__init__(transport)
        self.received = 0
        """Bytes since the last request was answered."""
        self._turns = turns
        self._is_wanted = True
        self._is_asked = False

    @property
    def is_heavy(self) -> bool:
        return self.received > LIGHT_BYTES

    def pause_reading(self) -> None:
        self._is_wanted = False
        super().pause_reading()

    def resume_reading(self) -> None:
        self._is_wanted = True
        if not self.is_heavy:
            super().resume_reading()
        elif self.read_paused and not self._is_asked:
            self._is_asked = True
            self._turns.ask(self._go_on)

    def take_turn(self) -> None:
        """Having read, let others read."""
        if self.is_heavy and not self.read_paused:
            self.pause_reading()
            self.resume_reading()

    def _go_on(self) -> None:
        self._is_asked = False
        if self._is_wanted:
            super().resume_reading()
