"""The ventilator: takes requests, splits them, hands the parts to workers, and keeps account until each is answered.

The loop of the server's own process: receive, watch, act. It owns the PULL socket that clients push to and the ROUTER
that workers and sink connect to. What to do with what stands in `core/`, who is there in `fleet.py`.
"""

from __future__ import annotations

import json
import logging
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import zmq

from bert_serving.client.errors import BadRequest, MalformedMessage, ServerError, ServerStopping
from bert_serving.client.wire import Command, CommandRequest, EncodeRequest, decode_request, dump_json
from bert_serving.server.config import ServerConfig
from bert_serving.server.core.ledger import Ledger
from bert_serving.server.core.scheduler import PartKey, Scheduler, part_rows
from bert_serving.server.errors import ServiceError, StartError
from bert_serving.server.fleet import OPTIMIZER, SINK, Fleet
from bert_serving.server.stats import Statistic
from bert_serving.server.status import Addresses, Description
from bert_serving.server.supervisor import ChildEnded, Supervisor
from bert_serving.server.transport import sockets
from bert_serving.server.transport.messages import (
    Answer,
    Delivered,
    Done,
    Hello,
    Message,
    Part,
    Ready,
    Stage,
    decode,
    encode,
)

log = logging.getLogger(__name__)

BURST = 64
"""Messages taken from one socket before the others get a turn."""
LOADING_POLL_MS = 1_000
SERVING_POLL_MS = 5_000
ROWS_PER_PREFETCH = 128
"""Rows that stand for one micro-batch of `-prefetch_size`. Ten of these are enough to find rows of like length: with
half as many padding is 10% of the tokens of a real text, with these 5%, with twice as many 3%."""


class Ventilator:
    """The loop. `run` returns when the service was told to stop, and raises BertServerError when it cannot go on."""

    def __init__(
        self,
        config: ServerConfig,
        devices: Sequence[int | None],
        description: Description,
        supervisor: Supervisor,
        wakeup: sockets.Wakeup,
        on_ready: Callable[[], None],
    ) -> None:
        self._config = config
        self._description = description
        self._fleet = Fleet(config, devices, supervisor, self._send)
        self._wakeup = wakeup
        self._on_ready = on_ready
        self._ledger = Ledger()
        self._scheduler = Scheduler(window_rows=config.prefetch_size * min(ROWS_PER_PREFETCH, config.max_batch_size))
        self._statistic = Statistic()
        self._tallies: dict[str, Done] = {}
        self._for_sink: deque[Answer] = deque()
        self._is_serving = False
        self._stop_reason: str | None = None

    def stop(self, reason: str) -> None:
        """Ask the loop to end; from any thread or signal handler."""
        self._stop_reason = self._stop_reason or reason
        self._wakeup.notify()

    def run(self) -> None:
        with ExitStack() as opened:
            context: zmq.Context[Any] = zmq.Context()
            opened.callback(context.destroy, linger=0)
            folder = Path(opened.enter_context(sockets.socket_folder()))
            self._clients = sockets.bind_requests(context, self._config.port)
            self._children, self._address = sockets.bind_internal(context, zmq.ROUTER, folder, "ventilator")
            opened.callback(self._end)
            self._fleet.start(self._address, folder, time.monotonic())
            while self._stop_reason is None:
                self._wait()
                self._receive_requests()
                self._receive_from_children()
                self._watch()
                self._dispatch()
            log.info("stopping: %s", self._stop_reason)

    def _wait(self) -> None:
        poller = zmq.Poller()  # built anew: children come and go
        for source in (self._clients, self._children, self._wakeup.fileno(), *self._fleet.filenos):
            poller.register(source, zmq.POLLIN)
        fired = poller.poll(SERVING_POLL_MS if self._is_serving else LOADING_POLL_MS)
        if any(source == self._wakeup.fileno() for source, _ in fired):
            self._wakeup.clear()

    # -- receive: from clients ----------------------------------------------------------------------------------------

    def _receive_requests(self) -> None:
        for _ in range(BURST):
            try:
                frames = self._clients.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                return
            try:
                self._on_request(decode_request(frames))
            except MalformedMessage as error:
                self._refuse(error)
            except Exception:  # one strange request must not end the service
                log.error("a request was dropped by an error in the ventilator", exc_info=True)

    def _on_request(self, request: EncodeRequest | CommandRequest) -> None:
        if self._stop_reason is not None:
            self._answer_error(request.identity, request.request_id, _stopping())
        elif isinstance(request, CommandRequest):
            self._on_command(request)
        elif request.options:
            unknown = ", ".join(sorted(request.options))
            error = BadRequest(f"frame 4 has options that this server does not know: {unknown}")
            self._answer_error(request.identity, request.request_id, error)
        else:
            self._accept(request)

    def _accept(self, request: EncodeRequest) -> None:
        total = len(request.texts)
        self._statistic.data_request(request.identity, total, time.monotonic())
        size = part_rows(total, self._config.num_worker, self._config.max_batch_size)
        parts = {
            offset: (len(texts), json.dumps(texts).encode())
            for offset in range(0, total, size)
            for texts in [request.texts[offset : offset + size]]
        }
        urgent = total <= self._config.priority_batch_size
        job = self._ledger.open(request.identity, request.request_id, total, urgent, parts)
        for ticket in job.tickets():
            self._scheduler.submit(ticket)

    def _on_command(self, request: CommandRequest) -> None:
        if request.command is Command.TERMINATION:
            self._stop_reason = "a client asked for it (TERMINATION)"
            return
        self._statistic.sys_request(request.identity, time.monotonic())
        addresses = Addresses(self._address, self._fleet.rows_address)
        state = "ready" if self._is_serving else "loading"
        content = self._description.as_config(addresses, state, self._fleet.size + 1, request.identity)
        if request.command is Command.SHOW_STATUS:
            content["statistic"] = self._statistic.as_status(time.monotonic())
            content["processes"] = self._fleet.as_status()
            content["workers"] = [_tally(name, self._tallies[name]) for name in sorted(self._tallies)]
            content["queue"] = {"open_requests": len(self._ledger), "waiting_rows": self._scheduler.queued_rows}
        self._answer(Answer(request.identity, dump_json(content), request.request_id, is_error=False))

    def _refuse(self, error: MalformedMessage) -> None:
        log.warning("a request was refused: %s", error)
        if error.identity is not None:
            self._answer_error(error.identity, error.request_id or b"0", BadRequest(str(error)))

    # -- receive: from workers and sink -------------------------------------------------------------------------------

    def _receive_from_children(self) -> None:
        for _ in range(BURST):
            try:
                name, *frames = self._children.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                return
            self._on_child_message(name.decode(), decode(frames))

    def _on_child_message(self, name: str, message: Message) -> None:
        if isinstance(message, Done):
            self._scheduler.finished(name, PartKey(message.job, message.offset))
            self._tallies[name] = message
        elif isinstance(message, Delivered):
            self._ledger.close(message.job)
        elif isinstance(message, (Hello, Stage, Ready)):
            self._fleet.hear(name, message)
            self._pass_answers_on()
            if isinstance(message, Ready):
                self._scheduler.add_worker(name)

    # -- watch --------------------------------------------------------------------------------------------------------

    def _watch(self) -> None:
        for child, stage in self._fleet.lost():
            self._on_child_lost(child, stage)
        if not self._is_serving and self._fleet.is_ready(time.monotonic()):
            self._is_serving = True
            log.info("all set, ready to serve request!")
            self._on_ready()

    def _on_child_lost(self, child: ChildEnded, stage: str) -> None:
        reason = child.reason or "it ended without a reason"
        if not self._is_serving:
            raise StartError(reason if child.name == OPTIMIZER else f"{child.name} failed while {stage}: {reason}")
        if child.name == SINK:
            raise ServiceError(f"the sink ended: {reason}")
        lost = self._scheduler.remove_worker(child.name)
        log.error("%s ended: %s; %d part(s) of its work go to others", child.name, reason, len(lost))
        if not self._scheduler.workers:
            raise ServiceError(f"no worker is left, the last one was {child.name}: {reason}")

    # -- act ----------------------------------------------------------------------------------------------------------

    def _dispatch(self) -> None:
        for worker, ticket in self._scheduler.assign():
            job = self._ledger.find(ticket.key.job)
            if job is None:  # delivered already, by a worker that died before it could say that it was done
                self._scheduler.finished(worker, ticket.key)
                continue
            offset = ticket.key.offset
            rows, texts = job.parts[offset]
            part = Part(job.number, job.total, offset, rows, job.urgent, job.identity, job.request_id, texts)
            self._send(worker, part)

    def _answer_error(self, identity: bytes, request_id: bytes, error: ServerError) -> None:
        self._answer(Answer(identity, dump_json({"error": error.to_wire()}), request_id, is_error=True))

    def _answer(self, answer: Answer) -> None:
        self._for_sink.append(answer)
        self._pass_answers_on()

    def _pass_answers_on(self) -> None:
        while self._for_sink and self._fleet.has_sink:
            self._send(SINK, self._for_sink.popleft())

    def _send(self, name: str, message: Message) -> bool:
        try:
            self._children.send_multipart([name.encode(), *encode(message)])
        except zmq.ZMQError as error:  # it is gone, which its pipe tells, or was never there
            log.debug("%s could not be sent to %s: %s", type(message).__name__, name, error)
            return False
        return True

    def _end(self) -> None:
        """Answer what is open, tell all to end, and wait for them."""
        self._stop_reason = self._stop_reason or "the service failed"
        self._receive_requests()
        for job in self._ledger:
            self._answer_error(job.identity, job.request_id, _stopping())
        self._fleet.stop()


def _tally(worker: str, last: Done) -> dict[str, Any]:
    """What a worker has computed, as the status shows it."""
    counts = {name: getattr(last, name) for name in ("batches", "batch_rows", "tokens", "padded_tokens")}
    return {"name": worker, **counts}


def _stopping() -> ServerStopping:
    return ServerStopping("the server is stopping; send the request to another one, or again when it is back")
