"""How many requests are at work at once, and how many wait for that."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from bert_serving.server.gateway.problems import Problem

WAITING_PER_SLOT = 100
SHORTEST_RETRY_S, LONGEST_RETRY_S = 1, 60
POLL_S = 0.05


class Slots:
    """`number` requests at a time; a hundred times as many wait, first come, first served."""

    def __init__(self, number: int) -> None:
        self._number = number
        self._free = asyncio.Semaphore(number)
        self._mean_s = 0.0
        self.at_work = 0
        self.waiting = 0

    @asynccontextmanager
    async def take(self, timeout_s: float) -> AsyncIterator[float]:
        """A slot for the length of the block; gives what is left of `timeout_s`.

        Problem 429 if too many wait already, 504 if none came free in time.
        """
        if self.is_full:
            raise Problem(429, f"{self.waiting} requests wait already", retry_after_s=self._retry_s())
        loop = asyncio.get_running_loop()
        due_s = loop.time() + timeout_s
        self.waiting += 1
        try:
            await asyncio.wait_for(self._free.acquire(), timeout_s)
        except (TimeoutError, asyncio.TimeoutError):  # two types until Python 3.11
            raise Problem(504, "waited for -http_timeout among other requests") from None
        finally:
            self.waiting -= 1
        self.at_work += 1
        begin_s = loop.time()
        try:
            yield due_s - begin_s
        finally:
            self._mean_s += 0.1 * (loop.time() - begin_s - self._mean_s)
            self.at_work -= 1
            self._free.release()

    @property
    def is_full(self) -> bool:
        """No more may wait."""
        return self.waiting >= self._number * WAITING_PER_SLOT

    async def wait_until_idle(self) -> None:
        """Until none is at work and none waits."""
        while self.at_work or self.waiting:
            await asyncio.sleep(POLL_S)

    def _retry_s(self) -> int:
        """When half of those who wait may have gone, by the pace of late."""
        return min(LONGEST_RETRY_S, max(SHORTEST_RETRY_S, round(self._mean_s * self.waiting / self._number / 2)))
