"""Several servers behind one client: requests are distributed, and move to another server if theirs is lost.

    asked ──▶ the ready server with the fewest rows under way ──▶ its answer, or its error
                 ▲                           │
                 └──────── ConnectFailed ◀───┘   it is left out until it shakes hands again

Each server has a `Connection` of its own, with little patience; the client's own patience is kept here. Callbacks come
from the threads of the connections.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NoReturn

from bert_serving.client.connection import Connection
from bert_serving.client.endpoints import Endpoint
from bert_serving.client.errors import BertServingError, ClientClosed, ConnectFailed, ModelMismatch
from bert_serving.client.fingerprints import fingerprint_in, model_of
from bert_serving.client.keys import ClientKeys
from bert_serving.client.options import NO_OPTIONS, Options
from bert_serving.client.pending import Asked, Kind, Pending
from bert_serving.client.wire import Command, JsonReply, Reply, RowsReply, Texts

logger = logging.getLogger(__name__)

PATIENCE_MS = 1_000
"""How long a server may be away before another one does its work; also between two tries to reach it."""


@dataclass(eq=False)
class _Member:
    """One of the servers."""

    endpoint: Endpoint
    connection: Connection
    is_ready: bool = False
    rows: int = 0
    """Under way there."""
    trouble: str | None = None
    """Why it could not be used when that was tried last."""


@dataclass(frozen=True)
class _Task:
    """A request of the client, and how to ask a server for it."""

    asked: Asked
    rows: int
    send: Callable[[Connection], Asked]


class MultiServer:
    """What `Connection` is for one server. Every method may be called from any thread; none blocks but `close`."""

    def __init__(
        self,
        endpoints: Sequence[Endpoint],
        identity: bytes,
        connect_timeout_ms: int,
        keys: ClientKeys | None = None,
        first_id: int = 1,
    ) -> None:
        self.pending = Pending(first_id)
        self._patience_s = connect_timeout_ms / 1000 if connect_timeout_ms >= 0 else float("inf")
        self._lock = threading.Lock()
        self._waiting: list[_Task] = []
        self._model: str | None = None
        """What `model_of` says of the servers: else the vectors of one list would not go together."""
        self._first_config: Future[dict[str, Any]] = Future()
        self._alone_since_s = time.monotonic()
        """Since when no server is ready; infinity while one is."""
        self._has_told = False
        patience_ms = PATIENCE_MS if connect_timeout_ms < 0 else min(PATIENCE_MS, connect_timeout_ms)
        self._members = [
            _Member(endpoint, Connection(*endpoint, identity, patience_ms, keys, first_id)) for endpoint in endpoints
        ]
        for member in self._members:
            self._join(member)

    @property
    def is_ours(self) -> bool:
        """As `Connection.is_ours`."""
        return self._members[0].connection.is_ours

    def check_usable(self) -> None:
        """As `Connection.check_usable`."""
        self._members[0].connection.check_usable()

    def handshake(self) -> Future[dict[str, Any]]:
        """Config of the first server that is ready. Fails with ConnectFailed after the connect timeout."""
        self.check_usable()
        return self._first_config

    def request_rows(self, texts: Texts, options: Options = NO_OPTIONS) -> Asked:
        """As `Connection.request_rows`; which server it is sent to may change."""
        deadline_s = options.deadline_s(time.monotonic())

        def send(connection: Connection) -> Asked:
            return connection.request_rows(texts, options.until(deadline_s, time.monotonic()))

        return self._ask(Kind.ROWS, len(texts), send, options)

    def request_json(self, command: Command) -> Asked:
        """Ask one of the servers for its config or status."""
        return self._ask(Kind.JSON, 0, lambda connection: connection.request_json(command))

    def expect(self, fingerprint: str | None) -> None:
        """As `Connection.expect`; a server with another model is left out."""
        with self._lock:
            self._model = fingerprint
        for member in self._members:
            member.connection.expect(fingerprint)

    def listen(self) -> NoReturn:
        """For clients of one server."""
        raise NotImplementedError("listen() is not for a client of several servers: make one for each server")

    @property
    def max_bytes(self) -> int | None:
        """The largest frame that the servers take, once that is known."""
        return self._members[0].connection.max_bytes

    @max_bytes.setter
    def max_bytes(self, limit: int | None) -> None:
        for member in self._members:
            member.connection.max_bytes = limit

    def stop(self) -> None:
        """Begin to close, and wait for nothing."""
        for member in self._members:
            member.connection.stop()

    def close(self) -> None:
        """Fail what is pending with ClientClosed, and wait for the threads to end."""
        if not self.is_ours:  # whose locks may be held by threads that are not here
            return
        self.pending.close("the client is closed")
        self.stop()
        for member in self._members:
            member.connection.close()

    # -- requests --

    def _ask(self, kind: Kind, rows: int, send: Callable[[Connection], Asked], options: Options = NO_OPTIONS) -> Asked:
        self.check_usable()
        task = _Task(self.pending.ask(kind, lambda _: [], options), rows, send)
        try:
            self._give(task)
        except BertServingError:
            task.asked.future.cancel()
            raise
        return task.asked

    def _give(self, task: _Task) -> None:
        """Send it to a server that is ready, or keep it until one is."""
        with self._lock:
            ready = [member for member in self._members if member.is_ready]
            if not ready:
                self._waiting.append(task)
                return
            member = min(ready, key=lambda one: one.rows)
            member.rows += task.rows
        try:
            sent = task.send(member.connection)
        except BertServingError:
            self._took(member, task)
            raise
        task.asked.future.add_done_callback(lambda future: _cancel(sent) if future.cancelled() else None)
        sent.future.add_done_callback(partial(self._answered, member, task))

    def _took(self, member: _Member, task: _Task) -> None:
        with self._lock:
            member.rows -= task.rows

    def _answered(self, member: _Member, task: _Task, future: Future[Reply]) -> None:
        self._took(member, task)
        if future.cancelled():
            return
        error = future.exception()
        if isinstance(error, (ConnectFailed, ModelMismatch)):
            self._lose(member, error)
            self._give_or_fail(task)
        elif isinstance(error, Exception):
            self.pending.fail(task.asked.request_id, error)
        else:
            reply = future.result()
            if isinstance(reply, (RowsReply, JsonReply)):
                self.pending.settle(replace(reply, request_id=task.asked.request_id))

    def _give_or_fail(self, task: _Task) -> None:
        if task.asked.future.done():
            return
        try:
            self._give(task)
        except BertServingError as error:
            self.pending.fail(task.asked.request_id, error)

    # -- servers --

    def _join(self, member: _Member) -> None:
        """Shake hands with it, until that succeeds."""
        with suppress(ClientClosed):
            member.connection.handshake().add_done_callback(partial(self._shook_hands, member))

    def _shook_hands(self, member: _Member, future: Future[dict[str, Any]]) -> None:
        error = future.exception()
        if error is None:
            self._take_in(member, future.result())
        elif not isinstance(error, ClientClosed):
            member.trouble = str(error)
            self._fail_overdue()
            self._join(member)

    def _take_in(self, member: _Member, config: dict[str, Any]) -> None:
        found = model_of(config)
        with self._lock:
            self._model = self._model or found
            member.is_ready = found == self._model
            if member.is_ready:
                self._alone_since_s = float("inf")
                self._has_told = False
                waiting, self._waiting = self._waiting, []
        if not member.is_ready:
            member.trouble = f"the server at {member.endpoint} has the model {found}, but {self._model} is expected"
            logger.warning("%s: it is not used", member.trouble)
            self._fail_without_any()
            return
        member.connection.expect(fingerprint_in(config) or None)
        with suppress(InvalidStateError):
            self._first_config.set_result(config)
        for task in waiting:
            self._give_or_fail(task)

    def _fail_without_any(self) -> None:
        """If all servers have another model than the expected one, waiting is useless."""
        with self._lock:
            if any(member.is_ready or member.trouble is None for member in self._members):
                return
            waiting, self._waiting = self._waiting, []
        text = f"none of {len(self._members)} servers can be used: {self._troubles()}"
        with suppress(InvalidStateError):
            self._first_config.set_exception(ModelMismatch(text))
        for task in waiting:
            self.pending.fail(task.asked.request_id, ModelMismatch(text))

    def _troubles(self) -> str:
        return "; ".join(member.trouble for member in self._members if member.trouble is not None)

    def _lose(self, member: _Member, error: ConnectFailed | ModelMismatch) -> None:
        with self._lock:
            was_ready, member.is_ready, member.trouble = member.is_ready, False, str(error)
            if not any(one.is_ready for one in self._members):
                self._alone_since_s = min(self._alone_since_s, time.monotonic())
        if was_ready:
            self._join(member)

    def _fail_overdue(self) -> None:
        """Without any server nobody waits longer than the client's patience."""
        with self._lock:
            if any(member.trouble is None for member in self._members):
                return
            if time.monotonic() < self._alone_since_s + self._patience_s:
                if self._alone_since_s != float("inf") and not self._has_told:
                    self._has_told = True
                    logger.warning("waiting for a server: %s", self._troubles())
                return
            waiting, self._waiting = self._waiting, []
        text = f"none of {len(self._members)} servers can be used: {self._troubles()}"
        with suppress(InvalidStateError):
            self._first_config.set_exception(ConnectFailed(text))
        for task in waiting:
            self.pending.fail(task.asked.request_id, ConnectFailed(text))


def _cancel(asked: Asked) -> None:
    asked.future.cancel()
