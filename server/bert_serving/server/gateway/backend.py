"""The service behind the gateway: one client that asks for vectors, and one that watches whether it is well."""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import Callable
from typing import Any, cast

from bert_serving.client import AsyncBertClient, BertServingError
from bert_serving.client.options import Options
from bert_serving.client.pending import Asked
from bert_serving.client.wire import RowsReply
from bert_serving.server.config import PoolingStrategy, ServerConfig
from bert_serving.server.gateway import shown
from bert_serving.server.gateway.held import UNCOUNTED_BYTES, Answers
from bert_serving.server.gateway.history import History
from bert_serving.server.gateway.problems import Problem
from bert_serving.server.gateway.slots import Slots
from bert_serving.server.transport.listeners import host_here
from bert_serving.server.transport.meeting import WORKER

log = logging.getLogger(__name__)

WATCH_INTERVAL_S = 1.0
STATUS_TIMEOUT_S = 3.0
STALE_S = 5.0
"""A status older than this says nothing."""
SILENT_S = 6.0
"""A worker is well if it has encoded a known sentence, or anything else, no longer ago."""
DEAD_S = 30.0
"""A service that has said nothing for longer, nor for twice -heartbeat_timeout, does not mend itself any more."""
LOADING_RETRY_S = 5
FIRST_IDS = 1 << 62

Read = Callable[[], tuple[Any, bool]]
"""Gives the texts of a request, and whether they are tokens or ids; takes time, and raises Problem."""


class PrivateClient(AsyncBertClient):
    """A client whose identity and request ids nobody can guess: it holds what is others' business."""

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments, identity=secrets.token_hex(32))
        self._first_id = 1 + secrets.randbelow(FIRST_IDS)

    @property
    def first_id(self) -> int:
        """The id of its first request."""
        return self._first_id

    async def answer(self, asked: Asked, due_s: float) -> RowsReply:
        """The answer to what was sent, by `due_s` on the loop's clock."""
        left_s = max(0.0, due_s - asyncio.get_running_loop().time())
        return cast(RowsReply, await self._wait(asked.future, left_s))

    def write(self, texts: Any, is_tokenized: bool, left_s: float) -> Asked:
        """Check texts and send them; may take long, and run in any thread."""
        return self._ask_rows(texts, is_tokenized, Options.within(left_s))


class Backend:
    """Ask it for vectors by `encode`; `status`, `history` and `trouble` say how the service is."""

    def __init__(self, config: ServerConfig, curve: str | None) -> None:
        ports = {"port": config.port, "port_out": config.port_out}
        self._where: dict[str, Any] = {"ip": host_here(config.host), **ports, "curve": curve}
        self._timeout_s = config.http_timeout
        self._least_workers = config.num_worker if config.min_worker is None else config.min_worker
        self._client: PrivateClient | None = None
        self._watcher: PrivateClient | None = None
        self._asking: asyncio.Task[dict[str, Any] | None] | None = None
        self._one_large = asyncio.Lock()
        self._row_bytes = 0
        self.gives_matrices = config.pooling_strategy is PoolingStrategy.NONE
        self.slots = Slots(config.http_max_connect)
        self.answers = Answers(config.http_max_answers << 20)
        self.history = History()
        self.status: dict[str, Any] = {}
        """What the service said last, as it may be seen."""
        self.errors = 0
        self.viewers = 0
        self.is_draining = False
        self._start_timeout_s = config.start_timeout
        self._dead_s = max(DEAD_S, 2.0 * config.heartbeat_timeout)
        self._begun_s = time.monotonic()
        self._status_s = float("-inf")

    async def run(self) -> None:
        """Connect, and watch the service until cancelled."""
        async with PrivateClient(**self._where, ignore_all_checks=True) as watcher:
            await asyncio.gather(self._connect(), self._watch(watcher))

    async def _connect(self) -> None:
        async with PrivateClient(**self._where, check_length=False, connect_timeout=-1) as self._client:
            await asyncio.Event().wait()  # until cancelled

    async def _watch(self, watcher: PrivateClient) -> None:
        self._watcher = watcher
        while True:
            try:
                await self._take_status()
            except Exception:  # a status that is none must not end HTTP
                log.exception("the service's status cannot be read")
            await asyncio.sleep(WATCH_INTERVAL_S)

    async def _take_status(self) -> None:
        status = await self._ask_status()
        if status is not None:
            self.history.add(status, self.errors + status["latency"]["refused"], time.time())
            self.status, self._status_s = status, time.monotonic()

    async def _ask_status(self) -> dict[str, Any] | None:
        """What the service says of itself now; None if it does not. However many ask, it is asked once at a time."""
        if self._watcher is None:
            return None
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(self._status_of(self._watcher))
        return await asyncio.shield(self._asking)

    async def _status_of(self, client: PrivateClient) -> dict[str, Any] | None:
        try:
            return shown.service_status(await asyncio.wait_for(client.server_status(), STATUS_TIMEOUT_S))
        except (BertServingError, TimeoutError, asyncio.TimeoutError) as error:
            log.debug("no status: %s", error)
            return None

    @property
    def why_dead(self) -> str | None:
        """Why nobody may hope any more that the service mends itself; None if it is well, loads, ends or may yet."""
        now_s = time.monotonic()
        if self.is_draining:
            return None
        if not self.status:
            is_late = now_s - self._begun_s > self._start_timeout_s
            return f"the service has said nothing for {self._start_timeout_s} s (-start_timeout)" if is_late else None
        silent_s = now_s - self._status_s
        return f"the service has said nothing for {silent_s:.0f} s" if silent_s > self._dead_s else None

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

    def check_ready(self) -> None:
        """Problem 503 if there is nobody to ask."""
        self._ready_client()

    async def encode(self, read: Read, num_bytes: int, at_end: list[Callable[[], None]]) -> RowsReply:
        """Vectors of what `read` gives, which is called when it is this request's turn: texts take more memory than
        the `num_bytes` of their body. What the answer holds is released by `at_end`.

        Raises Problem, and what the client raises.
        """
        client = self._ready_client()
        async with self.slots.take(self._timeout_s) as left_s:
            answer = _Answer(self.answers)
            at_end.append(answer.release)
            due_s = asyncio.get_running_loop().time() + left_s

            def write() -> Asked:
                texts, is_tokenized = read()
                answer.expect(len(texts) * self._row_bytes)
                return client.write(texts, is_tokenized, left_s)

            asked = write() if num_bytes <= UNCOUNTED_BYTES else await self._in_thread(write)
            reply = await client.answer(asked, due_s)
            answer.has_come(reply.array.nbytes)
            self._row_bytes = max(self._row_bytes, reply.array.nbytes // max(1, len(reply.array)))
            return reply

    async def _in_thread(self, write: Callable[[], Asked]) -> Asked:
        """One large request at a time is in memory as texts, and others are served while it is read and written."""
        async with self._one_large:
            return await asyncio.to_thread(write)

    async def fresh_status(self) -> dict[str, Any]:
        """What the service says of itself now, or what it said last."""
        status = await self._ask_status()
        if status is None and not self.status:
            raise Problem(503, "the service has said nothing yet", retry_after_s=LOADING_RETRY_S)
        return status or self.status

    @property
    def client_status(self) -> dict[str, Any]:
        """What the gateway's own client is set to, and what it waits for, as it may be seen."""
        client = self._ready_client()
        return shown.client_status(client.status, client.first_id)

    def _ready_client(self) -> PrivateClient:
        if self._client is None or self.is_draining:
            reason = "the server is stopping" if self.is_draining else "the model is loading"
            raise Problem(503, reason, retry_after_s=LOADING_RETRY_S)
        return self._client


class _Answer:
    """What one answer holds, from before it is asked for until it is out."""

    def __init__(self, answers: Answers) -> None:
        self._answers = answers
        self._size = 0

    def expect(self, size: int) -> None:
        """Problem 413 if it is more than may ever be, 429 if there is no room now."""
        if size > self._answers.most:
            most = self._answers.most >> 20
            raise Problem(413, f"the answer would have {size >> 20} MB, and may have {most} MB (-http_max_answers)")
        if not self._answers.hold(size):
            raise Problem(429, "answers hold as many MB as they may together (-http_max_answers)", retry_after_s=2)
        self._size = size

    def has_come(self, size: int) -> None:
        """It is as large as this."""
        self._answers.correct(self._size, size)
        self._size = size

    def release(self) -> None:
        self._answers.release(self._size)
        self._size = 0


def _is_worker(process: dict[str, Any]) -> bool:
    return str(process["name"]).startswith(WORKER)
