"""The service behind the gateway: one client that asks for vectors, and one that watches whether it is well."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Any

from bert_serving.client import AsyncBertClient, BertServingError
from bert_serving.client.wire import RowsReply
from bert_serving.server.config import PoolingStrategy, ServerConfig
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
        self._timeout_s = config.http_timeout
        self._least_workers = config.num_worker if config.min_worker is None else config.min_worker
        self._client: AsyncBertClient | None = None
        self._watcher: AsyncBertClient | None = None
        self.gives_matrices = config.pooling_strategy is PoolingStrategy.NONE
        self.slots = Slots(config.http_max_connect)
        self.history = History()
        self.status: dict[str, Any] = {}
        self.errors = 0
        self.viewers = 0
        self.is_draining = False
        self._status_s = float("-inf")

    async def run(self) -> None:
        """Connect, and watch the service until cancelled."""
        async with AsyncBertClient(**self._where, ignore_all_checks=True) as watcher:
            await asyncio.gather(self._connect(), self._watch(watcher))

    async def _connect(self) -> None:
        async with AsyncBertClient(**self._where, check_length=False, connect_timeout=-1) as self._client:
            await asyncio.Event().wait()  # until cancelled

    async def _watch(self, watcher: AsyncBertClient) -> None:
        self._watcher = watcher
        while True:
            status = await self._ask_status(watcher)
            if status is not None:
                self.status, self._status_s = status, time.monotonic()
                self.history.add(status, self.errors + status["latency"]["refused"], time.time())
            await asyncio.sleep(WATCH_INTERVAL_S)

    async def _ask_status(self, client: AsyncBertClient) -> dict[str, Any] | None:
        try:
            return await asyncio.wait_for(client.server_status(), STATUS_TIMEOUT_S)
        except (BertServingError, TimeoutError, asyncio.TimeoutError) as error:
            log.debug("no status: %s", error)
            return None

    @property
    def trouble(self) -> str | None:
        """Why the service cannot be used, or not wholly; None if all is well."""
        if self.is_draining:
            return "the server is stopping"
        if not self.status or self.status.get("state") != "ready" or self._client is None:
            return "the model is loading"
        if time.monotonic() - self._status_s > STALE_S:
            return "the service does not answer"
        processes = self.status["processes"]
        num_ready = sum(process["state"] == "ready" for process in processes if _is_worker(process))
        is_enough = num_ready >= self._least_workers
        for process in processes:
            if process["state"] != "ready" and is_enough and _is_worker(process):
                continue
            if process["state"] != "ready":
                return f"{process['name']} is {process['state']}"
            if process.get("silent_s", 0.0) > SILENT_S:
                return f"{process['name']} has encoded nothing for {process['silent_s']:.0f} s"
        return None

    async def encode(self, texts: Any, is_tokenized: bool) -> RowsReply:
        """Vectors. Raises Problem, and what the client raises."""
        client = self._ready_client()
        async with self.slots.take(self._timeout_s) as left_s:
            return await client.request(texts, is_tokenized, left_s)

    async def fresh_status(self) -> dict[str, Any]:
        """What the service says of itself now, or what it said last."""
        status = None if self._watcher is None else await self._ask_status(self._watcher)
        if status is None and not self.status:
            raise Problem(503, "the service has said nothing yet", retry_after_s=LOADING_RETRY_S)
        return status or self.status

    @property
    def client_status(self) -> dict[str, Any]:
        """What the gateway's own client is set to."""
        status = self._ready_client().status
        return {**status, "identity": status["identity"].decode(errors="replace")}

    def _ready_client(self) -> AsyncBertClient:
        if self._client is None or self.is_draining:
            reason = "the server is stopping" if self.is_draining else "the model is loading"
            raise Problem(503, reason, retry_after_s=LOADING_RETRY_S)
        return self._client


def _is_worker(process: dict[str, Any]) -> bool:
    return str(process["name"]).startswith("worker-")
