"""The ventilator: takes requests, splits them, hands the parts to workers, and keeps account until each is answered.

The loop of the server's own process: receive, watch, act. It owns the PULL socket that clients push to and the ROUTER
that workers and sink connect to. Who may come in stands in `door.py`, what to do with what in `core/work.py`, who is
there in `fleet.py`. A child may die at any moment: its work is done again by others, and it is started again.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from math import ceil
from pathlib import Path
from typing import Any

import zmq

from bert_serving.client.errors import DeadlineExceeded, ServerBusy, ServerError, ServerStopping
from bert_serving.client.wire import Command, CommandRequest, dump_json
from bert_serving.server.config import ServerConfig
from bert_serving.server.core.admission import Admission
from bert_serving.server.core.elastic import Bounds, Elastic
from bert_serving.server.core.reading import ReadRequest
from bert_serving.server.core.tickets import PartKey
from bert_serving.server.core.work import Work
from bert_serving.server.door import Door, Limits, Request
from bert_serving.server.errors import ServiceError, StartError
from bert_serving.server.fleet import GATEWAY, OPTIMIZER, SINK, Fleet
from bert_serving.server.stats import Statistic
from bert_serving.server.status import Addresses, Description
from bert_serving.server.supervisor import Supervisor
from bert_serving.server.transport import sockets
from bert_serving.server.transport.curve import Insider, open_gate
from bert_serving.server.transport.lines import Lines
from bert_serving.server.transport.meeting import Meeting, Remote
from bert_serving.server.transport.messages import (
    Alive,
    Answer,
    Delivered,
    Done,
    Hello,
    Left,
    Message,
    Ready,
    Received,
    Rows,
    Stage,
)
from bert_serving.server.transport.remote import RemoteKeys, bind_remote

log = logging.getLogger(__name__)

POLL_MS = 1_000
HURRIED_POLL_MS = 50
"""While something is about to happen that no socket tells of: a restart, or the end of a drain."""
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
        self._supervisor = supervisor
        self._description = description
        self._fleet = Fleet(config, devices, supervisor, self._send)
        self._wakeup = wakeup
        self._on_ready = on_ready
        self._work = Work(
            Admission(config.max_queue, config.max_queue_mb << 20, 2 * config.max_answer_mb << 20),
            num_workers=config.most_workers,
            max_part_rows=config.max_batch_size,
            priority_rows=config.priority_batch_size,
            window_rows=config.prefetch_size * min(ROWS_PER_PREFETCH, config.max_batch_size),
        )
        self._elastic = Elastic(
            Bounds(config.num_worker, config.most_workers, config.scale_up_wait, config.scale_down_idle)
        )
        self._statistic = Statistic()
        self._tallies: dict[str, Done] = {}
        self._for_sink: deque[Answer | Rows] = deque()
        self._is_serving = False
        self._stop_reason: str | None = None
        self._stop_at_once = False
        self._drain_until_s: float | None = None

    def stop(self, reason: str, *, at_once: bool = False) -> None:
        """Ask the loop to end when what is accepted is answered, or at once; from any thread or signal handler."""
        self._stop_reason = self._stop_reason or reason
        self._stop_at_once = self._stop_at_once or at_once
        self._wakeup.notify()

    def run(self) -> None:
        with ExitStack() as opened:
            context: zmq.Context[Any] = zmq.Context()
            opened.callback(context.destroy, linger=0)
            folder = Path(opened.enter_context(sockets.socket_folder()))
            insider = None
            if self._config.curve_dir is not None and self._config.http_port is not None:
                insider = Insider.make(self._config.curve_dir, folder)
            public = insider.public if insider else None
            self._gate = opened.enter_context(open_gate(context, self._config.curve_dir, public))
            self._clients = sockets.bind_requests(context, self._config)
            allow_terminate = self._config.allow_remote_terminate
            limits = Limits.of(self._config)
            self._door = Door(
                self._clients, self._gate, allow_terminate, self._answer_error, limits, self._work.part_rows
            )
            children, self._address = sockets.bind_internal(context, zmq.ROUTER, folder, "ventilator")
            remote = self._open_remote(opened)
            self._lines = Lines(children, *([remote[0]] if remote else []))
            self._poller = zmq.Poller()
            for source in (self._clients, *self._lines.sockets, self._wakeup.fileno(), self._fleet.fileno()):
                self._poller.register(source, zmq.POLLIN)
            opened.callback(self._end)
            meeting = Meeting(self._address, folder, insider, remote[1] if remote else None)
            self._fleet.start(meeting, time.monotonic())
            while not self._is_over(time.monotonic()):
                self._wait(time.monotonic())
                self._receive_from_children()
                self._receive_requests()
                self._watch(time.monotonic())
                self._dispatch()

    def _open_remote(self, opened: ExitStack) -> tuple[sockets.Socket, Remote] | None:
        """The socket for workers elsewhere, if the launcher starts any, in a context that asks for no clients' keys."""
        host = self._supervisor.remote_host
        if host is None:
            return None
        context: zmq.Context[Any] = zmq.Context()
        opened.callback(context.destroy, linger=0)
        keys = RemoteKeys.make()
        sock, address = bind_remote(context, zmq.ROUTER, host, keys)
        return sock, Remote(host, address, keys)

    def _is_over(self, now_s: float) -> bool:
        """Whether to end now, as asked, with all answered or the time for it gone."""
        if self._stop_reason is None:
            return False
        if self._drain_until_s is None:
            self._drain_until_s = now_s + self._config.drain_timeout
            log.info("stopping: %s", self._stop_reason)
            self._fleet.drain()
            if len(self._work) and self._is_serving:
                log.info("%d accepted request(s) are finished first", len(self._work))
        is_drained = not len(self._work) or not self._is_serving or now_s >= self._drain_until_s
        return is_drained or self._stop_at_once

    def _wait(self, now_s: float) -> None:
        is_hurried = self._stop_reason is not None or self._fleet.expects_restarts
        limit_ms = 0 if self._door.is_reading else HURRIED_POLL_MS if is_hurried else POLL_MS
        fired = self._poller.poll(ceil(min(limit_ms, max(0.0, 1000 * (self._work.next_deadline_s - now_s)))))
        if any(source == self._wakeup.fileno() for source, _ in fired):
            self._wakeup.clear()

    # -- receive: from clients ----------------------------------------------------------------------------------------

    def _receive_requests(self) -> None:
        for request in self._door:
            try:
                self._on_request(request)
            except Exception:  # one strange request must not end the service
                log.error("a request was dropped by an error in the ventilator", exc_info=True)

    def _on_request(self, request: Request) -> None:
        if isinstance(request, CommandRequest):
            self._on_command(request)
        elif self._stop_reason is not None:
            self._answer_error(request.identity, request.request_id, _stopping())
        else:
            self._accept(request, time.monotonic())

    def _accept(self, request: ReadRequest, now_s: float) -> None:
        self._statistic.data_request(request.identity, request.total, now_s)
        try:
            self._work.accept(request, now_s)
        except ServerBusy as error:
            self._answer_error(request.identity, request.request_id, error)

    def _on_command(self, request: CommandRequest) -> None:
        if request.command is Command.TERMINATION:
            self.stop("a client asked for it (TERMINATION)")
            return
        self._statistic.sys_request(request.identity, time.monotonic())
        addresses = Addresses(self._address, self._fleet.rows_address)
        state = "ready" if self._is_serving else "loading"
        content = self._description.as_config(addresses, state, self._fleet.size + 1, request.identity)
        if request.command is Command.SHOW_STATUS:
            content["statistic"] = self._statistic.as_status(time.monotonic())
            content["processes"] = self._fleet.as_status(time.monotonic())
            content["workers"] = [_tally(name, self._tallies[name]) for name in sorted(self._tallies)]
            urgent, bulk = self._work.waiting_rows(urgent=True), self._work.waiting_rows(urgent=False)
            content["queue"] = {
                "open_requests": len(self._work),
                "waiting_rows": urgent + bulk,
                "waiting_urgent_rows": urgent,
                "waiting_bulk_rows": bulk,
                "wait_s": round(self._elastic.wait_s(self._work.uncomputed_rows, len(self._fleet.workers)), 3),
            }
            content["latency"] = self._statistic.as_latency()
        self._to_sink(Answer(request.identity, dump_json(content), request.request_id, is_error=False))

    # -- receive: from workers and sink -------------------------------------------------------------------------------

    def _receive_from_children(self) -> None:
        for name, message in self._lines.receive():
            self._on_child_message(name, message, time.monotonic())

    def _on_child_message(self, name: str, message: Message, now_s: float) -> None:
        if not self._fleet.needs(name):
            return  # the last words of a worker that was released
        if isinstance(message, Done):
            self._work.finished(name, PartKey(message.job, message.offset))
            self._tallies[name] = message
            self._fleet.answered(name, now_s)
        elif isinstance(message, Received):
            if message.pid == self._fleet.sink_pid:  # what an earlier sink had is gone
                self._work.received(PartKey(message.job, message.offset))
        elif isinstance(message, Delivered):
            if job := self._work.delivered(message.job, message.is_kept, now_s):
                self._statistic.answered(now_s - job.accepted_s)
        elif isinstance(message, Left):
            self._work.left(message.job)
        elif isinstance(message, (Hello, Stage, Ready, Alive)):
            self._fleet.hear(name, message, now_s)
            self._pass_answers_on()
            if isinstance(message, Ready):
                self._work.add_worker(name)

    # -- watch --------------------------------------------------------------------------------------------------------

    def _watch(self, now_s: float) -> None:
        for child, stage in self._fleet.lost():
            reason = child.reason or "it ended without a reason"
            if self._is_serving:
                self._on_child_lost(child.name, reason, now_s)
            else:
                raise StartError(reason if child.name == OPTIMIZER else f"{child.name} failed while {stage}: {reason}")
        for job in self._work.expired(now_s):
            late = DeadlineExceeded("the time that this request had was over before its texts were encoded")
            self._answer_error(job.key.identity, job.key.request_id, late, job.number)
        if self._gate is not None:
            self._gate.refresh()
        if self._is_serving:
            self._fleet.kill_stuck(now_s)
            self._fleet.probe(now_s)
            self._fleet.start_due(now_s)
            self._scale(now_s)
        elif self._fleet.is_ready(now_s):
            self._is_serving = True
            log.info("all set, ready to serve request!")
            self._on_ready()

    def _scale(self, now_s: float) -> None:
        """More workers while requests would wait too long, fewer when some have nothing to do."""
        self._elastic.see(self._work.loads, now_s)
        if self._stop_reason is not None or not self._elastic.is_due(now_s):
            return
        open_rows, workers = self._work.uncomputed_rows, self._fleet.workers
        change = self._elastic.decide(open_rows, workers, self._work.loads, now_s)
        if change.add:
            wait_s = self._elastic.wait_s(open_rows, len(workers))
            log.info("requests would wait about %.1f s (-scale_up_wait): %d worker(s) more", wait_s, change.add)
            self._fleet.add_workers(change.add)
        elif change.release is not None:
            log.info("%s had nothing to do for a while and is released (-scale_down_idle)", change.release)
            self._work.lose_worker(change.release)
            self._fleet.release(change.release)

    def _on_child_lost(self, name: str, reason: str, now_s: float) -> None:
        if name == SINK:
            again, poison = len(self._work), self._work.lose_sink()
            what = f"{again} open request(s) begin again"
        else:
            recovered = self._work.lose_worker(name)
            poison = recovered.poison
            what = f"{recovered.parts} part(s) of its work go back"
        for rows in poison:
            log.error("a text that ends each worker which encodes it is given up: row %d of a request", rows.offset)
            self._to_sink(rows)
        wait_s = self._fleet.restart(name, now_s)
        if wait_s is not None:
            log.error("%s ended: %s; %s; started again in %.1f s", name, reason, what, wait_s)
        elif name in (SINK, GATEWAY) or not self._fleet.has_workers:
            raise ServiceError(f"{name} ended too often in a row: {reason}")
        else:
            log.error("%s ended too often in a row and is given up: %s", name, reason)

    # -- act ----------------------------------------------------------------------------------------------------------

    def _dispatch(self) -> None:
        if not self._fleet.has_sink:
            return
        for worker, part in self._work.assign(time.monotonic()):
            self._send(worker, part)

    def _answer_error(self, identity: bytes, request_id: bytes, error: ServerError, job: int = 0) -> None:
        """`job` is the one that ends so, 0 for none."""
        self._statistic.refused()
        self._to_sink(Answer(identity, dump_json({"error": error.to_wire()}), request_id, is_error=True, job=job))

    def _to_sink(self, message: Answer | Rows) -> None:
        self._for_sink.append(message)
        self._pass_answers_on()

    def _pass_answers_on(self) -> None:
        while self._for_sink and self._fleet.has_sink and self._send(SINK, self._for_sink[0]):
            self._for_sink.popleft()  # what could not be sent waits for the next sink

    def _send(self, name: str, message: Message) -> bool:
        return self._lines.send(name, message)

    def _end(self) -> None:
        """Answer what is open, tell all to end, and wait for them."""
        self._stop_reason = self._stop_reason or "the service failed"
        self._receive_requests()
        self._door.abandon(_stopping())
        for job in self._work:
            self._answer_error(job.key.identity, job.key.request_id, _stopping())
        self._fleet.stop()


def _tally(worker: str, last: Done) -> dict[str, Any]:
    """What a worker has computed, as the status shows it."""
    return {"name": worker, **{name: value for name, value in asdict(last).items() if name not in ("job", "offset")}}


def _stopping() -> ServerStopping:
    return ServerStopping("the server is stopping; send the request to another one, or again when it is back")
