"""The ventilator: takes requests, splits them, hands the parts to workers, and keeps account until each is answered.

The loop of the server's own process: receive, watch, act. It owns the PULL socket that clients push to and the ROUTER
that workers and sink connect to. What to do with what stands in `core/`, who is there in `fleet.py`. A child may die at
any moment: its work is done again by others, and it is started again.
"""

from __future__ import annotations

import hashlib
import json
import logging
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import zmq

from bert_serving.client.errors import BadRequest, MalformedMessage, ServerBusy, ServerError, ServerStopping
from bert_serving.client.wire import Command, CommandRequest, EncodeRequest, decode_request, dump_json
from bert_serving.server.config import ServerConfig
from bert_serving.server.core.admission import Admission
from bert_serving.server.core.ledger import Job, Ledger
from bert_serving.server.core.scheduler import PartKey, Scheduler, part_rows
from bert_serving.server.errors import ServiceError, StartError
from bert_serving.server.fleet import OPTIMIZER, SINK, Fleet
from bert_serving.server.stats import Statistic
from bert_serving.server.status import Addresses, Description
from bert_serving.server.supervisor import Supervisor
from bert_serving.server.transport import sockets
from bert_serving.server.transport.curve import Gate, open_gate
from bert_serving.server.transport.messages import (
    Alive,
    Answer,
    Delivered,
    Done,
    Hello,
    Message,
    Part,
    Ready,
    Received,
    Rows,
    Stage,
    decode,
    encode,
)

log = logging.getLogger(__name__)

BURST = 64
"""Messages taken from one socket before the others get a turn."""
POLL_MS = 1_000
HURRIED_POLL_MS = 50
"""While something is about to happen that no socket tells of: a restart, or the end of a drain."""
REFUSED_INTERVAL_S = 10.0
"""Between two lines in the log about malformed requests."""
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
        self._admission = Admission(config.max_queue, config.max_queue_mb << 20)
        self._scheduler = Scheduler(window_rows=config.prefetch_size * min(ROWS_PER_PREFETCH, config.max_batch_size))
        self._statistic = Statistic()
        self._tallies: dict[str, Done] = {}
        self._for_sink: deque[Answer | Rows] = deque()
        self._gate: Gate | None = None
        self._refused = 0
        self._refused_logged_s = -REFUSED_INTERVAL_S
        self._is_serving = False
        self._stop_reason: str | None = None
        self._stop_at_once = False
        self._drained_s: float | None = None

    def stop(self, reason: str, *, at_once: bool = False) -> None:
        """Ask the loop to end when what is accepted is answered, or at once; from any thread or signal handler."""
        self._stop_reason = self._stop_reason or reason
        self._stop_at_once = self._stop_at_once or at_once
        self._wakeup.notify()

    def run(self) -> None:
        with ExitStack() as opened:
            context: zmq.Context[Any] = zmq.Context()
            opened.callback(context.destroy, linger=0)
            self._gate = opened.enter_context(open_gate(context, self._config.curve_dir))
            folder = Path(opened.enter_context(sockets.socket_folder()))
            self._clients = sockets.bind_requests(context, self._config)
            self._children, self._address = sockets.bind_internal(context, zmq.ROUTER, folder, "ventilator")
            opened.callback(self._end)
            self._fleet.start(self._address, folder, time.monotonic())
            while not self._is_over(time.monotonic()):
                self._wait()
                self._receive_requests()
                self._receive_from_children()
                self._watch(time.monotonic())
                self._dispatch()

    def _is_over(self, now_s: float) -> bool:
        """Whether to end now, as asked, with all answered or the time for it gone."""
        if self._stop_reason is None:
            return False
        if self._drained_s is None:
            self._drained_s = now_s + self._config.drain_timeout
            log.info("stopping: %s", self._stop_reason)
            if len(self._ledger) and self._is_serving:
                log.info("%d accepted request(s) are finished first", len(self._ledger))
        is_drained = not len(self._ledger) or not self._is_serving or now_s >= self._drained_s
        return is_drained or self._stop_at_once

    def _wait(self) -> None:
        poller = zmq.Poller()  # built anew: children come and go
        for source in (self._clients, self._children, self._wakeup.fileno(), *self._fleet.filenos):
            poller.register(source, zmq.POLLIN)
        is_hurried = self._stop_reason is not None or self._fleet.expects_restarts
        fired = poller.poll(HURRIED_POLL_MS if is_hurried else POLL_MS)
        if any(source == self._wakeup.fileno() for source, _ in fired):
            self._wakeup.clear()

    # -- receive: from clients ----------------------------------------------------------------------------------------

    def _receive_requests(self) -> None:
        for _ in range(BURST):
            try:
                frames = self._clients.recv_multipart(zmq.NOBLOCK, copy=False)
            except zmq.Again:
                return
            try:
                request = decode_request([frame.bytes for frame in frames])
                if self._gate is not None and not self._gate.knows(_property(frames[0], "User-Id")):
                    self._answer_error(
                        request.identity, request.request_id, BadRequest("this client's key was revoked")
                    )
                elif isinstance(request, CommandRequest):
                    self._on_command(request, frames[0])
                else:
                    self._on_request(request)
            except MalformedMessage as error:
                self._refuse(error)
            except Exception:  # one strange request must not end the service
                log.error("a request was dropped by an error in the ventilator", exc_info=True)

    def _on_request(self, request: EncodeRequest) -> None:
        if self._stop_reason is not None:
            self._answer_error(request.identity, request.request_id, _stopping())
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
        digest = hashlib.blake2b(b"".join(texts for _, texts in parts.values()), digest_size=16).digest()
        if self._ledger.holds(request.identity, request.request_id, digest):
            return  # a client that lost its connection has asked again; the answer comes
        if not self._admission.admit(total, sum(len(texts) for _, texts in parts.values())):
            self._answer_error(request.identity, request.request_id, self._busy(total))
            return
        self._submit(self._ledger.open(request.identity, request.request_id, total, urgent, digest, parts))

    def _busy(self, rows: int) -> ServerBusy:
        wait_ms = int(1000 * self._admission.wait_s(rows, time.monotonic()))
        text = f"{self._admission.rows} texts are open, and with {rows} more there would be too many (-max_queue)"
        return ServerBusy(f"{text}: come again in {wait_ms} ms", retry_after_ms=wait_ms)

    def _submit(self, job: Job) -> None:
        for ticket in job.tickets():
            self._scheduler.submit(ticket)
        for row in job.poison:
            self._tell_of_poison(job, row)

    def _on_command(self, request: CommandRequest, frame: zmq.Frame) -> None:
        if request.command is Command.TERMINATION:
            self._on_termination(frame)
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

    def _on_termination(self, frame: zmq.Frame) -> None:
        sender = _property(frame, "Peer-Address")
        is_local = sender is not None and sockets.is_this_machine(sender)
        is_admin = self._gate is not None and self._gate.is_admin(_property(frame, "User-Id"))
        if is_local or is_admin or self._config.allow_remote_terminate:
            self.stop("a client asked for it (TERMINATION)")
        else:
            log.warning("TERMINATION from %s is refused: -allow_remote_terminate would accept it", sender)

    def _refuse(self, error: MalformedMessage) -> None:
        self._refused += 1
        now_s = time.monotonic()
        if now_s > self._refused_logged_s + REFUSED_INTERVAL_S:  # strangers must not fill the disk, nor texts the log
            log.warning("%d malformed request(s) were refused; their senders were told why", self._refused)
            self._refused, self._refused_logged_s = 0, now_s
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
        elif isinstance(message, Received):
            if message.pid == self._fleet.sink_pid:  # what an earlier sink had is gone
                self._scheduler.confirmed(PartKey(message.job, message.offset))
        elif isinstance(message, Delivered):
            if job := self._ledger.close(message.job):
                self._admission.answered(job.total, job.size, time.monotonic())
                for ticket in job.tickets():
                    self._scheduler.confirmed(ticket.key)
        elif isinstance(message, (Hello, Stage, Ready, Alive)):
            self._fleet.hear(name, message, time.monotonic())
            self._pass_answers_on()
            if isinstance(message, Ready):
                self._scheduler.add_worker(name)

    # -- watch --------------------------------------------------------------------------------------------------------

    def _watch(self, now_s: float) -> None:
        for child, stage in self._fleet.lost():
            reason = child.reason or "it ended without a reason"
            if self._is_serving:
                self._on_child_lost(child.name, reason, now_s)
            else:
                raise StartError(reason if child.name == OPTIMIZER else f"{child.name} failed while {stage}: {reason}")
        if self._gate is not None:
            self._gate.refresh()
        if self._is_serving:
            self._fleet.kill_stuck(now_s)
            self._fleet.start_due(now_s)
        elif self._fleet.is_ready(now_s):
            self._is_serving = True
            log.info("all set, ready to serve request!")
            self._on_ready()

    def _on_child_lost(self, name: str, reason: str, now_s: float) -> None:
        again = 0 if name == SINK else self._recover_work_of(name)
        wait_s = self._fleet.restart(name, now_s)
        if wait_s is not None:
            log.error(
                "%s ended: %s; %d part(s) of its work go back; started again in %.1f s", name, reason, again, wait_s
            )
        elif name == SINK or not self._fleet.has_workers:
            raise ServiceError(f"{name} ended too often in a row: {reason}")
        else:
            log.error("%s ended too often in a row and is given up: %s", name, reason)
        if name == SINK:
            self._scheduler.start_again()
            for job in self._ledger:
                self._submit(job)

    def _recover_work_of(self, worker: str) -> int:
        """Put what it had back; returns how many parts."""
        lost = self._scheduler.remove_worker(worker)
        for ticket in (lost.to_split, lost.poison):
            job = self._ledger.find(ticket.key.job) if ticket else None
            if ticket is None or job is None:
                continue
            if ticket is lost.poison:
                log.error(
                    "a text that ends each worker which encodes it is given up: row %d of a request", ticket.key.offset
                )
                job.give_up(ticket.key.offset)
                self._tell_of_poison(job, ticket.key.offset)
            else:
                for half in job.split(ticket.key.offset):
                    self._scheduler.submit_suspect(half)
        return len(lost.requeued)

    def _tell_of_poison(self, job: Job, row: int) -> None:
        failed = [(0, "each worker that began with it ended")]
        self._for_sink.append(
            Rows(job.number, job.total, row, 1, "float32", 0, None, None, [], failed, job.identity, job.request_id)
        )
        self._pass_answers_on()

    # -- act ----------------------------------------------------------------------------------------------------------

    def _dispatch(self) -> None:
        if not self._fleet.has_sink:
            return
        for worker, ticket in self._scheduler.assign():
            job = self._ledger.find(ticket.key.job)
            if job is None:  # delivered already, by a worker that died before it could say that it was done
                self._scheduler.confirmed(ticket.key)
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
        while self._for_sink and self._fleet.has_sink and self._send(SINK, self._for_sink[0]):
            self._for_sink.popleft()  # what could not be sent waits for the next sink

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


def _property(frame: zmq.Frame, name: str) -> str | None:
    """What the connection that a frame came by says of its sender; None if it says nothing of that."""
    try:
        return str(frame.get(name))
    except zmq.ZMQError:
        return None


def _stopping() -> ServerStopping:
    return ServerStopping("the server is stopping; send the request to another one, or again when it is back")
