"""The service behind the gateway: one client that asks for vectors, and one that watches whether it is well."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Any

from bert_serving.client import AsyncBertClient, BertServingError
from bert_serving.client.wire import RowsReply
from bert_serving.server.config import ServerConfig
from bert_serving.server.gateway.history import History
from bert_serving.server.gateway.problems import Problem
from bert_serving.server.gateway.slots import Slots

log = logging.getLogger(__name__)

WATCH_INTERVAL_S = 1.0
STATUS_TIMEOUT_S = 3.0
STALE_S = 5.0
"""A status older than this says nothing."""
SILENT_S = 6.0
"""A worker is well if it has encoded a known sentence, or anything else, no longer ago."""
LOADING_RETRY_S = 5


class Backend:
    """Ask it for vectors by `encode`; `status`, `history` and `trouble` say how the service is."""

    def __init__(self, config: ServerConfig, curve: str | None) -> None:
        host = "127.0.0.1" if config.host == "*" else config.host
        self._where: dict[str, Any] = {"ip": host, "port": config.port, "port_out": config.port_out, "curve": curve}
        self._timeout_ms = 1000 * config.http_timeout
        self._client: AsyncBertClient | None = None
        self.slots = Slots(config.http_max_connect, config.http_timeout)
        self.history = History()
        self.status: dict[str, Any] = {}
        self.errors = 0
        self.viewers = 0
        self.is_draining = False
        self._status_s = float("-inf")

    async def run(self) -> None:
        """Connect, and watch the service until cancelled."""
        watcher = AsyncBertClient(**self._where, ignore_all_checks=True)
        async with watcher:
            connecting = asyncio.create_task(self._connect())
            try:
                while True:
                    await self._watch(watcher)
                    await asyncio.sleep(WATCH_INTERVAL_S)
            finally:
                connecting.cancel()
                if self._client is not None:
                    await self._client.close()

    async def _connect(self) -> None:
        self._client = await AsyncBertClient.connect(
            **self._where, check_length=False, connect_timeout=-1, timeout=self._timeout_ms
        )

    async def _watch(self, watcher: AsyncBertClient) -> None:
        try:
            self.status = await asyncio.wait_for(watcher.server_status(), STATUS_TIMEOUT_S)
        except (BertServingError, TimeoutError, asyncio.TimeoutError) as error:
            log.debug("no status: %s", error)
            return
        self._status_s = time.monotonic()
        if "latency" in self.status:
            self.history.add(self.status, self.errors + self.status["latency"]["refused"], time.time())

    @property
    def trouble(self) -> str | None:
        """Why the service cannot be used, or not wholly; None if all is well."""
        if self.is_draining:
            return "the server is stopping"
        if not self.status or self.status.get("state") != "ready" or self._client is None:
            return "the model is loading"
        if time.monotonic() - self._status_s > STALE_S:
            return "the service does not answer"
        for process in self.status["processes"]:
            if process["state"] != "ready":
                return f"{process['name']} is {process['state']}"
            if process.get("silent_s", 0.0) > SILENT_S:
                return f"{process['name']} has encoded nothing for {process['silent_s']:.0f} s"
        return None

    async def encode(self, texts: Any, is_tokenized: bool) -> RowsReply:
        """Vectors. Raises Problem, and what the client raises."""
        if self._client is None or self.is_draining:
            reason = "the server is stopping" if self.is_draining else "the model is loading"
            raise Problem(503, reason, retry_after_s=LOADING_RETRY_S)
        async with self.slots.take():
            return await self._client.request(texts, is_tokenized)

    async def fresh_status(self) -> dict[str, Any]:
        """What the service says of itself now, or what it said last."""
        if self._client is not None and not self.is_draining:
            try:
                return await asyncio.wait_for(self._client.server_status(), STATUS_TIMEOUT_S)
            except (BertServingError, TimeoutError, asyncio.TimeoutError) as error:
                log.debug("no status: %s", error)
        if not self.status:
            raise Problem(503, "the service has said nothing yet", retry_after_s=LOADING_RETRY_S)
        return self.status

    @property
    def client_status(self) -> dict[str, Any]:
        """What the gateway's own client is set to."""
        if self._client is None:
            raise Problem(503, "the model is loading", retry_after_s=LOADING_RETRY_S)
        status = self._client.status
        return {**status, "identity": status["identity"].decode(errors="replace")}
