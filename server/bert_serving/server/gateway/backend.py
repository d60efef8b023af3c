"""The service behind the gateway: one client that asks for vectors, and one that watches whether it is well."""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import Callable
from typing import Any, TypeVar, cast

from bert_serving.client import AsyncBertClient, BertServingError
from bert_serving.client.errors import quoted
from bert_serving.client.fingerprints import fingerprint_in
from bert_serving.client.options import Options
from bert_serving.client.pending import Asked
from bert_serving.client.views import View
from bert_serving.client.wire import RowsReply
from bert_serving.server.config import ServerConfig
from bert_serving.server.gateway import shown
from bert_serving.server.gateway.facts import Facts
from bert_serving.server.gateway.held import UNCOUNTED_BYTES, Answers
from bert_serving.server.gateway.history import History
from bert_serving.server.gateway.model_table import Place
from bert_serving.server.gateway.problems import Problem
from bert_serving.server.gateway.row_sizes import RowSizes
from bert_serving.server.gateway.slots import Slots
from bert_serving.server.gateway.together import until_one_ends
from bert_serving.server.poolings import PoolingStrategy
from bert_serving.server.transport.listeners import host_here
from bert_serving.server.transport.meeting import GATEWAY_CLIENT, WORKER

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

_T = TypeVar("_T")
Read = Callable[[], tuple[Any, bool, Options]]
"""Gives the texts of a request, whether they are tokens or ids, and its options; takes time, and raises Problem."""


class PrivateClient(AsyncBertClient):
    """A client whose identity and request ids nobody can guess: it holds what is others' business."""

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments, identity=GATEWAY_CLIENT + secrets.token_hex(32).encode())
        self._first_id = 1 + secrets.randbelow(FIRST_IDS)

    @property
    def first_id(self) -> int:
        """The id of its first request."""
        return self._first_id

    @property
    def known(self) -> dict[str, Any]:
        """What the service said of itself when this connected."""
        return self._config

    async def answer(self, asked: Asked, due_s: float) -> RowsReply:
        """The answer to what was sent, by `due_s` on the loop's clock."""
        left_s = max(0.0, due_s - asyncio.get_running_loop().time())
        return cast(RowsReply, await self._wait(asked.future, left_s))

    def write(self, texts: Any, is_tokenized: bool, options: Options, left_s: float) -> Asked:
        """Check texts and send them; may take long, and run in any thread."""
        return self._ask_rows(texts, is_tokenized, options.in_time(left_s))


class Shared:
    """What the backends of one gateway share: the room for answers, and the one large request that is read."""

    def __init__(self, config: ServerConfig) -> None:
        self.answers = Answers(config.http_max_answers << 20)
        self._one_large = asyncio.Lock()

    async def read(self, work: Callable[[], _T], num_bytes: int) -> _T:
        """What `work` makes of so many bytes. One large request at a time is in memory as texts, and others are served
        while it is read and written."""
        if num_bytes <= UNCOUNTED_BYTES:
            return work()
        async with self._one_large:
            return await asyncio.to_thread(work)


class Backend:
    """Ask it for vectors by `encode`; `status`, `history` and `trouble` say how the service is.

    It is the service with this config, or the one in `place`, of whose config the status tells.
    """

    def __init__(
        self, config: ServerConfig, curve: str | None, place: Place | None = None, shared: Shared | None = None
    ) -> None:
        host, port, port_out = place.endpoint if place else (host_here(config.host), config.port, config.port_out)
        self._where: dict[str, Any] = {"ip": host, "port": port, "port_out": port_out, "curve": curve}
        self._is_own = place is None
        self._expect_fingerprint = place.expect_fingerprint if place else None
        self._config = config
        self._timeout_s = config.http_timeout
        self.name = ""
        """Of its model."""
        self.fault: str | None = None
        """What its client failed with since it was connected last; not to be shown, as it may hold addresses."""
        self._too_old: str | None = None
        self._client: PrivateClient | None = None
        self._watcher: PrivateClient | None = None
        self._asking: asyncio.Task[dict[str, Any] | None] | None = None
        self._rows = RowSizes()
        self.shared = Shared(config) if shared is None else shared
        self.slots = Slots(config.http_max_connect)
        self.history = History()
        self.status: dict[str, Any] = {}
        """What the service said last, as it may be seen."""
        self.requests = 0
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
            await until_one_ends(self._connect(), self._watch(watcher))

    async def _connect(self) -> None:
        try:
            async with PrivateClient(**self._where, check_length=False, connect_timeout=-1) as self._client:
                self.fault = None
                await asyncio.Event().wait()  # until cancelled
        finally:
            self._client = None

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
        if status is not None and "processes" not in status:
            version = quoted(status.get("server_version"))
            self._too_old = f"the service is of version {version}, and HTTP needs one of 2.0 or later: update it"
        elif status is not None:
            self._too_old = None
            self.history.add(status, self.errors, time.time())
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
    def given(self) -> frozenset[str] | None:
        """Names of the options that somebody set, where that is known: this server's own service has its config."""
        return self._config.given if self._is_own else None

    @property
    def status_age_s(self) -> float:
        """How old `status` is; infinite if there is none."""
        return time.monotonic() - self._status_s

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
        if (why := self._why_unusable) is not None:
            return why
        if not self.status or self.status.get("state") != "ready" or self._client is None:
            return "the model is loading"
        if self.status_age_s > STALE_S:
            return "the service does not answer"
        processes = self.status["processes"]
        num_ready = sum(process["state"] == "ready" for process in processes if _is_worker(process))
        is_probed = self._option("http_port") is not None  # a service without asks its workers nothing of itself
        is_enough = num_ready >= self._least_workers
        for process in processes:
            if process["state"] != "ready" and is_enough and _is_worker(process):
                continue
            if process["state"] != "ready":
                return f"{process['name']} is {process['state']}"
            if is_probed and process.get("silent_s", 0.0) > SILENT_S:
                return f"{process['name']} has encoded nothing for {process['silent_s']:.0f} s"
        return None

    @property
    def _least_workers(self) -> int:
        least = self._option("min_worker")
        return int(self._option("num_worker") if least is None else least)

    @property
    def gives_matrices(self) -> bool:
        """Whether an answer has a vector for each token."""
        return bool(self._option("pooling_strategy") == PoolingStrategy.NONE)

    def _option(self, name: str) -> Any:
        """Of the service, as it says itself; before that, as it was told."""
        return self.status.get(name, getattr(self._config, name))

    @property
    def facts(self) -> Facts:
        """What its model has, as the service said last, or when the client connected."""
        return Facts(self.status or (self._client.known if self._client is not None else {}))

    @property
    def fingerprint(self) -> str | None:
        """Of the service's model; None before it is known, empty if the service sends none."""
        found = fingerprint_in(self.status)
        return found if found or self.status.get("state") == "ready" else None

    def why_strange(self, fingerprint: str) -> str | None:
        """Why a service with this fingerprint is not to be asked here; None if it may."""
        if self._expect_fingerprint in (None, fingerprint):
            return None
        return f"the service has the fingerprint {fingerprint or 'of no model'}, not {self._expect_fingerprint}"

    def check_ready(self) -> None:
        """Problem 503 if there is nobody to ask."""
        self._ready_client()

    async def encode(self, read: Read, num_bytes: int, at_end: list[Callable[[], None]]) -> RowsReply:
        """Vectors of what `read` gives, which is called when it is this request's turn: texts take more memory than
        the `num_bytes` of their body. What the answer holds is released by `at_end`.

        Raises Problem, and what the client raises.
        """
        client = self._ready_client()
        self.requests += 1
        async with self.slots.take(self._timeout_s) as left_s:
            answer = _Answer(self.shared.answers)
            views: tuple[View, ...] | None = None
            at_end.append(answer.release)
            due_s = asyncio.get_running_loop().time() + left_s

            def write() -> Asked:
                nonlocal views
                texts, is_tokenized, options = read()
                views = options.views
                answer.expect(len(texts) * self._rows.expected(views))
                return client.write(texts, is_tokenized, options, left_s)

            asked = await self.shared.read(write, num_bytes)
            reply = await client.answer(asked, due_s)
            answer.has_come(reply.array.nbytes)
            self._rows.learn(views, reply.array.nbytes // max(1, len(reply.array)))
            return reply

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

    @property
    def not_ready(self) -> Problem | None:
        """The problem if there is nobody to ask."""
        if self.is_draining:
            return Problem(503, "the server is stopping", retry_after_s=LOADING_RETRY_S)
        why = self._why_unusable
        if self._client is not None and why is None:
            return None
        return Problem(503, why or "the model is loading", retry_after_s=LOADING_RETRY_S)

    @property
    def _why_unusable(self) -> str | None:
        """Why this service is not one to ask, however well it is."""
        strange = self.why_strange(self.fingerprint) if self.fingerprint is not None else None
        fault = None if self.fault is None else "the service cannot be used: the gateway's log says why"
        return fault or self._too_old or strange

    def _ready_client(self) -> PrivateClient:
        if (problem := self.not_ready) is not None:
            raise problem
        assert self._client is not None
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
