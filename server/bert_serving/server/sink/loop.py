"""The sink: takes rows from workers, assembles the answers, and publishes them to clients. A process of its own.

It owns the PULL socket for rows and the XPUB socket for clients, and talks to the ventilator over a DEALER. It needs
to know nothing of a request beforehand: every message of rows says whose it is.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from contextlib import ExitStack
from math import ceil
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import zmq

from bert_serving.client.errors import RowFailed, ServerError, quoted
from bert_serving.client.options import NO_OPTIONS
from bert_serving.client.wire import encode_error_reply, encode_rows_reply, encode_vectors_reply, name_of
from bert_serving.server.config import ServerConfig
from bert_serving.server.message.assembly import Assembly, unpack
from bert_serving.server.message.envelope import Envelope
from bert_serving.server.message.messages import (
    Answer,
    Delivered,
    Message,
    NewVentilator,
    Received,
    Rows,
    Stop,
    Void,
)
from bert_serving.server.sink.closed import Closed
from bert_serving.server.sink.listeners import Listeners
from bert_serving.server.sink.publisher import Publisher
from bert_serving.server.transport import garbage, sockets
from bert_serving.server.transport.child_line import ChildLine, VentilatorLine
from bert_serving.server.transport.connections import Connections, result_bounds
from bert_serving.server.transport.curve import open_gate
from bert_serving.server.transport.guard import Guard
from bert_serving.server.transport.lines import read
from bert_serving.server.transport.meeting import Contact
from bert_serving.server.transport.orders import SinkNeeds

log = logging.getLogger(__name__)

EXPIRE_INTERVAL_S = 1.0
OWED_INTERVAL_S = 0.05
"""How soon an error that could not be sent is tried again."""
MOST_REASON = 200
"""Characters of an exception that a client is told."""


def run(config: ServerConfig, contact: Contact, needs: SinkNeeds) -> None:
    """Run the sink until it is told to stop."""
    with ExitStack() as opened:
        context = zmq.Context()
        opened.callback(context.destroy, linger=sockets.PUBLISH_LINGER_MS)
        gate = opened.enter_context(open_gate(context, config.curve_dir, needs.insider))
        results = opened.enter_context(sockets.open_results(context, config))
        connections = opened.enter_context(Connections(context, results, result_bounds(config.max_clients), gate))
        sockets.adopt(results, needs.results)
        rows, rows_address = _bind_rows(context, contact, needs.remote_host)
        poller = zmq.Poller()
        supervisor, ventilator = ChildLine(context, contact), VentilatorLine(context, contact, poller)
        supervisor.hello(rows_address)
        listeners = Listeners(config.result_ttl, config.max_clients)
        publisher = Publisher(config, listeners, results, connections, ventilator.say_soon)
        Sink(publisher, results, connections, rows, supervisor, ventilator, poller).loop()


def _bind_rows(context: zmq.Context[Any], contact: Contact, remote_host: str | None) -> tuple[sockets.Socket, str]:
    """The PULL socket for rows, and its address for workers."""
    if remote_host is None:
        return sockets.bind_internal(context, zmq.PULL, Path(contact.folder), contact.line, contact.keys)
    return sockets.bind_remote(context, zmq.PULL, remote_host, contact.keys)


class _Owed(NamedTuple):
    """An answer, and the job that it is kept as; 0 for talk, of which nobody is told whether it is kept."""

    identity: bytes
    frames: list[Any]
    kept_as: int


class Sink:
    """The loop.

    An open assembly always has an end: each job is closed by its last row, or by an `Answer` of the ventilator.
    """

    def __init__(
        self,
        publisher: Publisher,
        results: sockets.Socket,
        connections: Connections,
        rows: sockets.Socket,
        supervisor: ChildLine,
        ventilator: VentilatorLine,
        poller: zmq.Poller,
    ) -> None:
        self._publisher = publisher
        self._results = results
        self._connections = connections
        self._rows = rows
        self._supervisor = supervisor
        self._ventilator = ventilator
        self._poller = poller
        self._guard = Guard(log)
        self._open: dict[int, Assembly] = {}
        self._closed = Closed()
        self._owed: dict[int, _Owed] = {}
        """By job: what is still to be published, as long as there is no memory for it."""
        self._stopping = False

    def loop(self) -> None:
        handlers = {self._results: self._publisher.on_subscription, self._rows: self._on_rows}
        for sock in (*handlers, *self._connections.sockets, self._supervisor.socket):
            self._poller.register(sock, zmq.POLLIN)
        garbage.settle()
        log.debug("ready")
        watched = self._connections.sockets
        while not self._stopping:
            fired = dict(self._poller.poll(self._wait_ms(time.monotonic())))
            for sock, handle in handlers.items():
                if sock in fired:
                    self._take(sock, handle)
            if self._ventilator.socket in fired:
                for message in self._ventilator.hear():
                    self._guard(self._on_ventilator, message)
            if self._supervisor.socket in fired:
                for message in self._supervisor.hear():
                    self._guard(self._on_supervisor, message)
            self._guard(self._turn, not fired.keys().isdisjoint(watched))

    def _take(self, sock: sockets.Socket, handle: Callable[[list[zmq.Frame]], None]) -> None:
        """The messages that are there, for as long as a burst may take."""
        for frames in sockets.burst(sock):
            self._guard(handle, frames)

    def _turn(self, has_news: bool) -> None:
        """`has_news`: connections came or went."""
        now_s = time.monotonic()
        self._supervisor.beat(now_s)
        if self._owed:
            self._pay_owed()
        self._publisher.turn(now_s, has_news=has_news)
        self._ventilator.flush()

    def _wait_ms(self, now_s: float) -> int:
        next_s = now_s + OWED_INTERVAL_S if self._owed else self._publisher.next_s
        return ceil(1000 * min(EXPIRE_INTERVAL_S, max(0.0, next_s - now_s)))

    # -- from the supervisor ------------------------------------------------------------------------------------------

    def _on_supervisor(self, message: Message) -> None:
        if isinstance(message, Stop):
            self._stopping = True
        elif isinstance(message, NewVentilator):
            self._ventilator.connect(message.address)
            self._ventilator.say(self._supervisor.greeting)

    # -- from ventilator and workers ----------------------------------------------------------------------------------

    def _on_ventilator(self, message: Message) -> None:
        if isinstance(message, Stop):
            self._stopping = True
        elif isinstance(message, Rows):
            self._on_part(message)
        elif isinstance(message, (Answer, Void)):
            self._on_answer(message)

    def _on_answer(self, message: Answer | Void) -> None:
        """Publish what the ventilator says, unless its job was answered already."""
        if message.job in self._owed:
            return  # there is an answer, for which there was no memory so far
        if isinstance(message, Answer) and message.job not in self._closed:
            identity = message.reply[0].removesuffix(b"\0")
            self._owed[message.job] = _Owed(identity, message.reply, kept_as=0)
            self._close(message.job)
            self._pay(message.job)
        else:
            self._close(message.job)
            self._ventilator.say_soon(Delivered(message.job, is_kept=False))

    def _on_rows(self, frames: list[zmq.Frame]) -> None:
        for message in read([frame.buffer for frame in frames]):
            if isinstance(message, Rows):
                self._on_part(message)

    def _on_part(self, message: Rows) -> None:
        """Take rows in. Whatever goes wrong ends this job with an error, and never silently."""
        job = message.envelope.job
        if not job or job in self._closed:
            return  # a probe, or a part that was run twice
        try:
            self._take_in(message)
        except Exception as error:
            self._fail(message, error)

    def _take_in(self, message: Rows) -> None:
        envelope = message.envelope
        assembly = self._open.get(envelope.job)
        if assembly is None and (frames := _whole_reply(message)) is not None:
            self._answer(envelope, frames)
            return
        if assembly is None:
            assembly = self._open[envelope.job] = Assembly(envelope.total)
        _add(assembly, message)
        if assembly.complete:
            self._answer(envelope, _reply(assembly, message))
        else:
            self._ventilator.say_soon(Received(envelope.job, message.offset))

    # -- the end of a job ---------------------------------------------------------------------------------------------

    def _answer(self, envelope: Envelope, frames: list[Any]) -> None:
        """A job is done: its answer goes out, or is kept."""
        is_kept = self._publisher.publish(envelope.identity, frames, envelope.job)
        self._close(envelope.job)
        self._ventilator.say_soon(Delivered(envelope.job, is_kept))

    def _close(self, job: int) -> None:
        self._open.pop(job, None)
        self._closed.add(job)

    def _fail(self, message: Rows, error: Exception) -> None:
        """End a job whose answer cannot be made, and give back what it took."""
        envelope = message.envelope
        if envelope.job not in self._closed:
            self._close(envelope.job)
            frames = encode_error_reply(envelope.identity, envelope.request_id, _as_answer(error, message))
            self._owed[envelope.job] = _Owed(envelope.identity, frames, kept_as=envelope.job)
        log.error("a request of %s texts could not be assembled: %s", envelope.total, type(error).__name__)
        log.debug("the reason", exc_info=error)

    def _pay_owed(self) -> None:
        """Publish what is owed; what fails, for want of memory, is tried again at the next turn."""
        for job in list(self._owed):
            self._pay(job)

    def _pay(self, job: int) -> None:
        owed = self._owed[job]
        is_kept = self._publisher.publish(owed.identity, owed.frames, owed.kept_as)
        del self._owed[job]
        self._ventilator.say_soon(Delivered(job, is_kept and bool(owed.kept_as)))


def _whole_reply(message: Rows) -> list[Any] | None:
    """Frames of the answer where these rows are all of it and need nothing done; nothing is copied then."""
    envelope, count, dim = message.envelope, message.count, message.dim
    if count != envelope.total or message.offset or dim <= 0 or envelope.options is not NO_OPTIONS:
        return None
    if message.failures or message.truncated or message.lengths is not None or message.tokens is not None:
        return None
    dtype = np.dtype(message.dtype)
    if len(message.data) != count * dim * dtype.itemsize:
        return None  # who puts them together says what is wrong
    num_tokens = sum(memoryview(message.num_tokens).cast("i"))
    return encode_vectors_reply(
        envelope.identity,
        envelope.request_id,
        name_of(dtype),
        (count, dim),
        message.data,
        num_tokens,
        message.fingerprint,
    )


def _reply(assembly: Assembly, last: Rows) -> list[Any]:
    """Frames of the answer to a request, of whose rows these came last."""
    identity, request_id = last.envelope.identity, last.envelope.request_id
    if assembly.failures:
        index = min(assembly.failures)
        reason = f"text {index} could not be encoded: {assembly.failures[index]}"
        if len(assembly.failures) > 1:
            reason += f" ({len(assembly.failures)} texts of this request failed)"
        return encode_error_reply(identity, request_id, RowFailed(reason, index))
    tokens = [assembly.tokens[row] for row in range(assembly.count)] if assembly.tokens else None
    array = assembly.result(last.pad_to)
    num_tokens = int(np.add.reduce(assembly.num_tokens))
    truncated = sorted(assembly.truncated)
    more = None if last.envelope.options is NO_OPTIONS else _asked_for(assembly, last)
    return encode_rows_reply(identity, request_id, array, tokens, truncated, num_tokens, last.fingerprint, more)


def _asked_for(assembly: Assembly, last: Rows) -> dict[str, Any]:
    """What an answer contains because options ask for it."""
    more: dict[str, Any] = {"model": last.model, "views": last.views}
    by_row: dict[str, dict[int, Any]] = {"offsets": assembly.offsets, "chunks": assembly.chunks}
    by_row |= {"ids": assembly.ids, "special": assembly.special}
    for name, known in by_row.items():
        more[name] = [known.get(row, []) for row in range(assembly.count)] if known else None
    return {name: value for name, value in more.items() if value}


def _as_answer(error: Exception, message: Rows) -> ServerError:
    """What its client is told."""
    what = f"the answer of {message.envelope.total} rows, each of width {message.dim}"
    if isinstance(error, MemoryError):
        return ServerError(f"{what}, needs more memory than the server has: send fewer texts in one request")
    reason = quoted(str(error), MOST_REASON)
    return ServerError(f"{what}, could not be assembled ({type(error).__name__}: {reason}): send the request again")


def _add(assembly: Assembly, message: Rows) -> None:
    """Place a part's rows. ValueError or IndexError if they do not fit."""
    _check(assembly, message)
    where = range(message.offset, message.offset + message.count)
    if message.dim:
        array = np.frombuffer(message.data, message.dtype).reshape(-1, message.dim)
        assembly.put(where, unpack(array, message.lengths))
    for position, reason in message.failures:
        assembly.fail(message.offset + position, reason)
    assembly.truncated.update(message.offset + position for position in message.truncated)
    assembly.num_tokens[where.start : where.stop] = np.frombuffer(message.num_tokens, np.int32)
    if message.tokens is not None:
        assembly.tokens.update(zip(where, message.tokens, strict=True))
    by_row: list[tuple[dict[int, Any], Any]] = [(assembly.offsets, message.offsets), (assembly.chunks, message.chunks)]
    by_row += [(assembly.ids, message.ids), (assembly.special, message.special)]
    for known, given in by_row:
        if given is not None:
            known.update(zip(where, given, strict=True))


def _check(assembly: Assembly, message: Rows) -> None:
    total, first, count = message.envelope.total, message.offset, message.count
    if total != assembly.count:
        raise ValueError(f"a part is of {total} rows, those before it were of {assembly.count}")
    if not 0 <= first <= first + count <= total or message.dim < 0:
        raise IndexError(f"{count} rows from {first} on are outside of {total}")
    named = [*(position for position, _ in message.failures), *message.truncated]
    if not all(0 <= position < count for position in named):
        raise ValueError("what is said of single rows does not fit their number")
