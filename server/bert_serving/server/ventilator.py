"""The ventilator: takes requests, splits them, hands the parts to workers, and keeps account until each is answered.

The loop of the server's own process: receive, watch, decide, act. It owns the PULL socket that clients push to and
the ROUTER that workers and sink connect to. What to do with what stands in `core/`.
"""

from __future__ import annotations

import json
import logging
import time
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path

import zmq

from bert_serving.client.errors import BadRequest, MalformedMessage, ServerError, ServerStopping
from bert_serving.client.wire import (
    Command,
    CommandRequest,
    EncodeRequest,
    decode_request,
    dump_json,
)
from bert_serving.server.config import PoolingStrategy, ServerConfig
from bert_serving.server.core.ledger import Ledger
from bert_serving.server.core.roster import Roster, State
from bert_serving.server.core.scheduler import PartKey, Scheduler
from bert_serving.server.devices import device_environment, device_name, lanes_for
from bert_serving.server.errors import ServiceError, StartError
from bert_serving.server.launchers.base import Orders
from bert_serving.server.stats import Statistic
from bert_serving.server.status import Addresses, Description
from bert_serving.server.supervisor import ChildEnded, Supervisor
from bert_serving.server.transport import sockets
from bert_serving.server.transport.messages import (
    Answer,
    Delivered,
    Done,
    Hello,
    Load,
    Message,
    Part,
    Ready,
    Stage,
    Stop,
    decode,
    encode,
)

log = logging.getLogger(__name__)

SINK = "sink"
OPTIMIZER = "graph optimizer"
BURST = 64
"""Messages taken from one socket before the others get a turn."""
PROGRESS_INTERVAL_S = 5.0
STOP_TIMEOUT_S = 5.0
ROWS_PER_PREFETCH = 64
"""Rows of one micro-batch, as `-prefetch_size` counts them."""


class Ventilator:
    """The loop. `run` returns when the service was told to stop, and raises BertServerError when it cannot go on."""

    def __init__(
        self,
        config: ServerConfig,
        devices: Sequence[int | None],
        description: Description,
        clients: sockets.Socket,
        children: sockets.Socket,
        address: str,
        folder: Path,
        supervisor: Supervisor,
        wakeup: sockets.Wakeup,
        on_ready: Callable[[], None],
    ) -> None:
        self._config = config
        self._devices = devices
        self._description = description
        self._clients = clients
        self._children = children
        self._addresses = Addresses(address)
        self._folder = folder
        self._supervisor = supervisor
        self._wakeup = wakeup
        self._on_ready = on_ready
        self._ledger = Ledger()
        self._scheduler = Scheduler(window_rows=config.prefetch_size * min(ROWS_PER_PREFETCH, config.max_batch_size))
        self._statistic = Statistic()
        self._roster = Roster()
        self._prepared: str | None = None
        self._for_sink: deque[Answer] = deque()
        self._serving = False
        self._stop_reason: str | None = None
        self._started_s = self._last_progress_s = time.monotonic()

    def stop(self, reason: str) -> None:
        """Ask the loop to end; from any thread or signal handler."""
        self._stop_reason = self._stop_reason or reason
        self._wakeup.notify()

    def run(self) -> None:
        try:
            self._start_children()
            while self._stop_reason is None:
                self._wait()
                self._receive_requests()
                self._receive_from_children()
                self._watch()
                self._dispatch()
            log.info("stopping: %s", self._stop_reason)
        finally:
            self._end()

    # -- start --------------------------------------------------------------------------------------------------------

    def _start_children(self) -> None:
        verbose = self._config.verbose
        common = {"ventilator_address": self._addresses.ventilator, "socket_folder": str(self._folder)}
        self._start(Orders("sink", SINK, "SINK", {**common, "pad_to": _pad_to(self._config)}), "cpu")
        self._start(Orders("optimizer", OPTIMIZER, "GRAPHOPT", {}, device_environment(None, verbose)), "cpu")
        for number, gpu in enumerate(self._devices):
            name = f"worker-{number}"
            lanes = lanes_for(gpu, self._config.num_worker)
            arguments = {**common, "name": name, "device": device_name(gpu), "lanes": lanes}
            environment = device_environment(gpu, verbose)
            self._start(Orders("worker", name, name.upper(), arguments, environment), device_name(gpu))
        log.info("devices: %s", ", ".join(f"worker {n} on {device_name(gpu)}" for n, gpu in enumerate(self._devices)))

    def _start(self, orders: Orders, device: str) -> None:
        self._roster.add(orders.name, device)
        self._supervisor.start(orders)
        self._roster[orders.name].pid = self._supervisor.pid(orders.name)

    def _load_where_possible(self) -> None:
        """Workers that wait can load once the graph is prepared and the sink's address is known."""
        if self._prepared is None or not self._addresses.rows:
            return
        for member in self._roster.in_state(State.CONNECTED):
            member.state, member.stage = State.LOADING, "loading the model"
            self._send(member.name, Load(self._prepared, self._addresses.rows))

    # -- receive ------------------------------------------------------------------------------------------------------

    def _wait(self) -> None:
        poller = zmq.Poller()  # built anew: children come and go
        for sock in (self._clients, self._children):
            poller.register(sock, zmq.POLLIN)
        for fileno in (self._wakeup.fileno(), *self._supervisor.filenos):
            poller.register(fileno, zmq.POLLIN)
        timeout_ms = int(PROGRESS_INTERVAL_S * 1000 / (1 if self._serving else 5))
        if any(source == self._wakeup.fileno() for source, _ in poller.poll(timeout_ms)):
            self._wakeup.clear()

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
        self._statistic.data_request(request.identity, len(request.texts), time.monotonic())
        size = self._config.max_batch_size
        parts = {
            offset: (len(texts), json.dumps(texts).encode())
            for offset in range(0, len(request.texts), size)
            for texts in [request.texts[offset : offset + size]]
        }
        urgent = len(request.texts) <= self._config.priority_batch_size
        job = self._ledger.open(request.identity, request.request_id, len(request.texts), urgent, parts)
        for ticket in job.tickets():
            self._scheduler.submit(ticket)

    def _on_command(self, request: CommandRequest) -> None:
        if request.command is Command.TERMINATION:
            self._stop_reason = "a client asked for it (TERMINATION)"
            return
        self._statistic.sys_request(request.identity, time.monotonic())
        state = "ready" if self._serving else "loading"
        content = self._description.as_config(self._addresses, state, len(self._supervisor.names) + 1, request.identity)
        if request.command is Command.SHOW_STATUS:
            content["statistic"] = self._statistic.as_status(time.monotonic())
            content["processes"] = self._roster.as_status()
            content["queue"] = {"open_requests": len(self._ledger), "waiting_rows": self._scheduler.queued_rows}
        self._answer(Answer(request.identity, dump_json(content), request.request_id, is_error=False))

    def _refuse(self, error: MalformedMessage) -> None:
        log.warning("a request was refused: %s", error)
        if error.identity is not None:
            self._answer_error(error.identity, error.request_id or b"0", BadRequest(str(error)))

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
        elif isinstance(message, Delivered):
            self._ledger.close(message.job)
        elif isinstance(message, Stage):
            self._roster[name].stage = message.text
        elif isinstance(message, Hello) and name == SINK:
            self._roster[name].state = State.READY
            self._addresses = Addresses(self._addresses.ventilator, message.rows_address)
            self._pass_answers_on()
            self._load_where_possible()
        elif isinstance(message, Hello):
            self._roster[name].state, self._roster[name].stage = State.CONNECTED, "waiting for the graph"
            self._load_where_possible()
        elif isinstance(message, Ready):
            self._roster[name].state, self._roster[name].device = State.READY, message.device
            self._scheduler.add_worker(name)

    # -- watch --------------------------------------------------------------------------------------------------------

    def _watch(self) -> None:
        for child in self._supervisor.ended():
            self._on_child_ended(child)
        if self._serving:
            return
        if self._roster.all_ready:
            self._begin_to_serve()
            return
        now_s = time.monotonic()
        waited_s = now_s - self._started_s
        if waited_s > self._config.start_timeout:
            raise StartError(
                f"not ready within {self._config.start_timeout} s (-start_timeout), "
                f"still waiting for {self._roster.waiting_for()}"
            )
        if now_s - self._last_progress_s >= PROGRESS_INTERVAL_S:
            self._last_progress_s = now_s
            log.info("still loading after %.0f s: %s", waited_s, self._roster.waiting_for())

    def _begin_to_serve(self) -> None:
        self._serving = True
        log.info("loaded in %.1f s", time.monotonic() - self._started_s)
        log.info("all set, ready to serve request!")
        self._on_ready()

    def _on_child_ended(self, child: ChildEnded) -> None:
        if child.name == OPTIMIZER and child.reason is None:
            self._prepared = child.result
            self._roster.remove(OPTIMIZER)
            self._load_where_possible()
            return
        member = self._roster[child.name]
        stage, member.state = member.stage, State.GONE
        reason = child.reason or "it ended without a reason"
        if not self._serving:
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
            if job is None:  # answered meanwhile
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
        while self._for_sink and self._addresses.rows:  # the sink has said hello
            self._send(SINK, self._for_sink.popleft())

    def _send(self, name: str, message: Message) -> bool:
        try:
            self._children.send_multipart([name.encode(), *encode(message)])
        except zmq.ZMQError as error:  # it is gone, which its pipe tells, or was never there
            log.debug("%s could not be sent to %s: %s", type(message).__name__, name, error)
            return False
        return True

    # -- end ----------------------------------------------------------------------------------------------------------

    def _end(self) -> None:
        """Answer what is open, tell all to end, and wait for them."""
        self._stop_reason = self._stop_reason or "the service failed"
        self._receive_requests()
        for job in self._ledger:
            self._answer_error(job.identity, job.request_id, _stopping())
        told = [name for name in self._supervisor.names if self._send(name, Stop())]
        self._supervisor.stop(told, STOP_TIMEOUT_S)


def _stopping() -> ServerStopping:
    return ServerStopping("the server is stopping; send the request to another one, or again when it is back")


def _pad_to(config: ServerConfig) -> int | None:
    """The T of `[B, T, D]` replies; None for the longest row of each request."""
    if config.pooling_strategy is not PoolingStrategy.NONE:
        return None
    return config.max_positions if config.fixed_embed_length else config.max_seq_len
