"""The ventilator: accepts requests, splits them, hands the parts to workers, and tracks each until it is answered.

A process of its own. It owns the PULL socket that clients push to and the ROUTER that workers and sink connect to.
`intake.py` decides what may come in, and `work.py` what happens to it. It may die at any moment: accepted requests are
in a log that outlives it, and its successor has each client told to resend.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from math import ceil
from pathlib import Path
from typing import Any

import zmq

from bert_serving.client.errors import DeadlineExceeded, RowFailed, ServerError, ServerRestarted, ServerStopping
from bert_serving.client.wire import Command, CommandRequest, encode_error_reply, encode_json_reply
from bert_serving.server.config import ServerConfig
from bert_serving.server.log import Throttle
from bert_serving.server.message.envelope import Envelope
from bert_serving.server.message.messages import (
    Answer,
    Census,
    Delivered,
    Done,
    Drained,
    Draining,
    Hello,
    Left,
    Lost,
    Message,
    NewSink,
    Part,
    Received,
    Resize,
    Rows,
    Stop,
    StopAsked,
    Void,
)
from bert_serving.server.message.tickets import PartKey
from bert_serving.server.transport import garbage, sockets
from bert_serving.server.transport.child_line import ChildLine
from bert_serving.server.transport.connections import Connections, request_bounds
from bert_serving.server.transport.curve import Gate, open_gate
from bert_serving.server.transport.guard import Guard
from bert_serving.server.transport.lines import Lines
from bert_serving.server.transport.meeting import SINK, WORKER, Contact, name_of
from bert_serving.server.transport.orders import VentilatorNeeds
from bert_serving.server.ventilator.autoscaler import Autoscaler, Bounds
from bert_serving.server.ventilator.intake import Intake, Limits, Request
from bert_serving.server.ventilator.open_log import OpenLog
from bert_serving.server.ventilator.outbox import Outbox
from bert_serving.server.ventilator.peers import Peers
from bert_serving.server.ventilator.stats import Statistic
from bert_serving.server.ventilator.status import Addresses, Description, status_of
from bert_serving.server.ventilator.work import Work

log = logging.getLogger(__name__)

POLL_MS = 1_000
POLLIN = int(zmq.POLLIN)
MOST_UNCONFIRMED = 5_000
"""Answers that the sink has not confirmed; nothing more is read from clients while there are so many."""
MEMORY_OF_TEXTS = 3
"""So many times their bytes texts may take that are open or being read."""
PROBE_INTERVAL_S = 2.0
PROBE = Part(Envelope(0, 1, b"", b""), offset=0, count=1, urgent=True, timeout_ms=None, texts=b'["hi"]')
"""A known sentence for each worker, whose answer is of no interest but that it comes."""


def run(config: ServerConfig, contact: Contact, needs: VentilatorNeeds) -> None:
    """Run the ventilator until it is told to stop."""
    with ExitStack() as opened:
        context = zmq.Context()
        opened.callback(context.destroy, linger=sockets.PUBLISH_LINGER_MS)
        gate = opened.enter_context(open_gate(context, config.curve_dir, needs.insider))
        requests = opened.enter_context(sockets.open_requests(context, config))
        bounds = request_bounds(config.max_clients, config.max_msg_size)
        connections = opened.enter_context(Connections(context, requests, bounds, gate))
        sockets.adopt(requests, needs.requests)
        # named after this process: a predecessor's file may still be there
        lines = Lines(context, Path(contact.folder), contact.line, contact.keys, needs.remote_host)
        supervisor = ChildLine(context, contact)
        supervisor.hello(lines.address, lines.remote_address)
        open_log = OpenLog(needs.log_files)
        description = Description(needs.description)
        Ventilator(config, description, requests, connections, gate, lines, supervisor, open_log).loop()


class Ventilator:
    """The loop."""

    def __init__(
        self,
        config: ServerConfig,
        description: Description,
        requests: sockets.Socket,
        connections: Connections,
        gate: Gate | None,
        lines: Lines,
        supervisor: ChildLine,
        open_log: OpenLog,
    ) -> None:
        self._config = config
        self._description = description
        self._requests = requests
        self._connections = connections
        self._gate = gate
        self._lines = lines
        self._supervisor = supervisor
        self._open_log = open_log
        self._peers = Peers()
        self._outbox = Outbox()
        self._work = Work.of(config, config.most_workers)
        self._autoscaler = Autoscaler(
            Bounds(config.num_worker, config.most_workers, config.scale_up_wait, config.scale_down_idle)
        )
        self._intake = Intake(
            requests,
            gate,
            config.terminate,
            open_log.open,
            self._answer_error,
            Limits.of(config),
            self._work.part_rows,
            connections,
        )
        self._statistic = Statistic()
        self._probed_s = 0.0
        self._is_draining = self._is_drained = self._is_stopping = False
        self._happened: set[Any] = set()
        """What the poll has told of."""
        self._has_told = not open_log.inherited
        """Whether the clients of a predecessor know that they have to ask again."""
        self._guard = Guard(log)
        self._failed = Throttle(log, "%d request(s) failed because of an error in the ventilator")
        self._strangers = Throttle(log, "ignored %d hello(s) from neither a worker nor the sink")
        self._disown(open_log)

    def _disown(self, open_log: OpenLog) -> None:
        """Have those told to ask again whose requests an earlier ventilator took in."""
        told: set[tuple[bytes, bytes]] = set()
        for entry in open_log.inherited:
            if (entry.identity, entry.request_id) in told:
                self._outbox.put(Void(entry.number))
                continue
            told.add((entry.identity, entry.request_id))
            self._answer_error(entry.number, entry.identity, entry.request_id, _restarted())
        if told:
            log.warning("%d request(s) of an earlier ventilator must be sent again", len(told))

    def loop(self) -> None:
        garbage.settle()
        poller = zmq.Poller()
        for source in (*self._lines.sockets, self._supervisor.socket, *self._connections.sockets):
            poller.register(source, zmq.POLLIN)
        while not self._is_stopping:
            is_receiving = self._is_receiving
            poller.register(self._requests, POLLIN if is_receiving else 0)
            self._happened = {source for source, _ in poller.poll(self._wait_ms(time.monotonic()))}
            if is_receiving and self._requests not in self._happened:
                self._connections.dry()
            for step in self._due():
                self._guard(step)
        self._guard(self._end)

    def _due(self) -> Iterator[Callable[[], None]]:
        """The steps of a turn: no socket is asked for what the poll has said already."""
        if self._supervisor.socket in self._happened:
            yield self._hear_supervisor
        if not self._happened.isdisjoint(self._lines.sockets):
            yield self._hear_peers
        yield self._pass_answers_on
        if self._requests in self._happened or self._intake.is_reading:
            yield self._receive
        yield self._watch
        yield self._dispatch

    def _wait_ms(self, now_s: float) -> int:
        if self._intake.is_reading and self._is_receiving:
            return 0
        next_s = min(self._work.next_deadline_s, self._connections.next_s)
        return ceil(min(POLL_MS, max(0.0, 1000 * (next_s - now_s))))

    # -- receive: from clients ----------------------------------------------------------------------------------------

    @property
    def _is_receiving(self) -> bool:
        """Whether more may be taken in: not before this one knows of all children and a predecessor's clients are told,
        nor if the sink is far behind."""
        return self._has_told and bool(self._peers.census.processes) and len(self._outbox) < MOST_UNCONFIRMED

    def _receive(self) -> None:
        if not self._is_receiving:
            return
        for job, request in self._intake:
            if isinstance(request, CommandRequest) and request.command is Command.TERMINATION:
                self._supervisor.say(StopAsked("a client asked for it (TERMINATION)"))
                continue
            try:
                self._begin(job, request, time.monotonic())
            except ServerError as error:
                self._answer_error(job, request.identity, request.request_id, error)
            except Exception as error:  # one strange request must not end the service
                self._failed.count(1, time.monotonic(), error=error)
                failed = ServerError(f"the server failed on this request: {type(error).__name__}")
                self._answer_error(job, request.identity, request.request_id, failed)

    def _begin(self, job: int, request: Request, now_s: float) -> None:
        """Take a request in, or answer a command."""
        if isinstance(request, CommandRequest):
            self._statistic.sys_request(request.identity, now_s)
            addresses = Addresses(self._lines.address, self._peers.rows_address)
            content = self._description.as_config(addresses, self._peers.census, request.identity)
            if request.command is Command.SHOW_STATUS:
                wait_s = self._autoscaler.wait_s(self._work.uncomputed_rows, len(self._peers.census.workers))
                names = frozenset() if self._gate is None else self._gate.names
                content.update(status_of(self._work, wait_s, self._peers, self._statistic, now_s, names))
            self._tell_sink(Answer(job, encode_json_reply(request.identity, request.request_id, content)))
            return
        if self._is_draining:
            raise _stopping()
        self._statistic.data_request(request.identity, request.total, now_s, request.key_name)
        if not self._work.accept(request, job, now_s):
            self._tell_sink(Void(job))

    # -- receive: from the supervisor ---------------------------------------------------------------------------------

    def _hear_supervisor(self) -> None:
        for message in self._supervisor.hear():
            if isinstance(message, Census):
                self._peers.census = message
            elif isinstance(message, Lost):
                self._lose(message.line)
            elif isinstance(message, Draining):
                self._is_draining = True
            elif isinstance(message, Stop):
                self._is_stopping = True

    def _lose(self, line: str) -> None:
        """A worker or the sink has ended; what it had is done again."""
        if line not in self._peers:
            return
        if line == self._peers.sink:
            for job in self._work.lose_sink():
                log.error("giving up a request that ended every sink with its rows")
                self._answer_error(job.number, job.key.identity, job.key.request_id, _too_much())
            self._outbox.start_again()
            log.warning("the sink is gone: restarting %d open request(s)", len(self._work))
        else:
            recovered = self._work.lose_worker(line)
            log.warning("%s is gone: requeued %d part(s) of its work", name_of(line), recovered.parts)
            for rows in recovered.poison:
                log.error("giving up a text that ends every worker that encodes it: row %d of a request", rows.offset)
            self._give_up(recovered.poison)
        self._peers.remove(line)
        self._lines.forget(line)

    # -- receive: from workers and sink -------------------------------------------------------------------------------

    def _hear_peers(self) -> None:
        for line, message in self._lines.receive(self._happened):
            now_s = time.monotonic()
            if isinstance(message, Hello):
                self._greet(line, message, now_s)
            elif line in self._peers:  # else it is the last word of one that is gone
                self._on_message(line, message, now_s)

    def _greet(self, line: str, hello: Hello, now_s: float) -> None:
        if name_of(line) != SINK and not name_of(line).startswith(WORKER):
            self._strangers.count(1, now_s)
            return
        if (earlier := self._peers.predecessor(line)) is not None:
            self._lose(earlier)  # before the supervisor has told of it
        if name_of(line) == SINK:
            self._peers.add_sink(line, hello.address)
            for worker in self._peers.workers:
                self._lines.send(worker, NewSink(hello.address))
            self._give_up(self._work.poison())
            return
        self._peers.add_worker(line, now_s)
        if self._peers.sink is not None:
            self._lines.send(line, NewSink(self._peers.rows_address))
        self._work.add_worker(line)

    def _on_message(self, line: str, message: Message, now_s: float) -> None:
        if isinstance(message, Done):
            if message.job != PROBE.envelope.job and message.offset == 0:
                self._statistic.durations.add("tokenize", message.part_tokenize_s)
                self._statistic.durations.add("compute", message.part_compute_s)
            self._work.finished(line, PartKey(message.job, message.offset))
            self._peers.done(line, message, now_s)
        elif isinstance(message, Received):
            self._work.received(PartKey(message.job, message.offset))
        elif isinstance(message, Delivered):
            self._open_log.close(message.job)
            self._outbox.confirmed(message.job)
            if job := self._work.delivered(message.job, message.is_kept, now_s):
                self._statistic.answered(now_s - job.accepted_s, now_s)
        elif isinstance(message, Left):
            self._work.left(message.job)

    # -- watch --------------------------------------------------------------------------------------------------------

    def _watch(self) -> None:
        now_s = time.monotonic()
        self._supervisor.beat(now_s)
        for job in self._work.expired(now_s):
            late = DeadlineExceeded("the time for this request ran out before its texts were encoded")
            self._answer_error(job.number, job.key.identity, job.key.request_id, late)
        self._watch_connections(now_s)
        self._probe(now_s)
        self._scale(now_s)
        if self._is_draining and not self._is_drained and not len(self._work):
            self._is_drained = True
            self._supervisor.say(Drained())

    def _watch_connections(self, now_s: float) -> None:
        held_bytes = self._work.held_bytes + self._intake.held_bytes
        has_news = not self._happened.isdisjoint(self._connections.sockets)
        self._connections.turn(now_s, MEMORY_OF_TEXTS * held_bytes, has_news=has_news)

    def _probe(self, now_s: float) -> None:
        """Let each worker encode a known sentence now and then, so that the gateway can tell who does."""
        if self._config.http_port is not None and now_s >= self._probed_s + PROBE_INTERVAL_S:
            self._probed_s = now_s
            for worker in self._peers.workers:
                self._lines.send(worker, PROBE)

    def _scale(self, now_s: float) -> None:
        """More workers while requests would wait too long, fewer when some have nothing to do."""
        self._autoscaler.see(self._work.loads, now_s)
        if self._is_draining or self._peers.census.state != "ready" or not self._autoscaler.is_due(now_s):
            return
        open_rows, workers = self._work.uncomputed_rows, self._peers.census.workers
        change = self._autoscaler.decide(open_rows, workers, self._work.loads, now_s)
        if change.add:
            wait_s = self._autoscaler.wait_s(open_rows, len(workers))
            log.info("requests would wait about %.1f s (-scale_up_wait): adding %d worker(s)", wait_s, change.add)
            self._supervisor.say(Resize(add=change.add))
        elif change.release is not None:
            name = name_of(change.release)
            log.info("%s was idle and is released (-scale_down_idle)", name)
            self._work.lose_worker(change.release)
            self._peers.remove(change.release)
            self._supervisor.say(Resize(release=change.release))

    # -- act ----------------------------------------------------------------------------------------------------------

    def _dispatch(self) -> None:
        if self._peers.sink is None:
            return
        now_s = time.monotonic()
        for worker, part in self._work.assign(now_s):
            self._lines.send(worker, part)
            if part.offset == 0 and (accepted_s := self._work.accepted_s(part.envelope.job)) is not None:
                self._statistic.durations.add("queue", now_s - accepted_s)

    def _give_up(self, poison: list[Rows]) -> None:
        """Tell the sink which rows will not come; a later one is told about all."""
        for rows in poison:
            if self._peers.sink is not None:
                self._lines.send(self._peers.sink, rows)

    def _answer_error(self, job: int, identity: bytes, request_id: bytes, error: ServerError) -> None:
        self._statistic.refused(identity)
        self._tell_sink(Answer(job, encode_error_reply(identity, request_id, error)))

    def _tell_sink(self, message: Answer | Void) -> None:
        self._outbox.put(message)
        self._pass_answers_on()

    def _pass_answers_on(self) -> None:
        sink = self._peers.sink
        while sink is not None and (message := self._outbox.next()) is not None and self._lines.send(sink, message):
            self._outbox.sent()
        if sink is not None and self._outbox.next() is None:
            self._has_told = True

    def _end(self) -> None:
        """Answer what is open, by the sink, which ends after that."""
        self._is_draining = True
        self._receive()
        self._intake.abandon(_stopping())
        for job in self._work:
            self._answer_error(job.number, job.key.identity, job.key.request_id, _stopping())
        if self._peers.sink is not None:
            self._lines.send(self._peers.sink, Stop())


def _stopping() -> ServerStopping:
    return ServerStopping("the server is stopping; send the request to another one, or again when it is back")


def _too_much() -> RowFailed:
    return RowFailed("every process that assembled its rows ended: send fewer texts at once")


def _restarted() -> ServerRestarted:
    return ServerRestarted("a server process ended while handling this request; send it again")
