"""The sink: takes rows from workers, puts requests together, publishes answers to clients. A process of its own.

It owns the PULL socket for rows and the XPUB socket for clients, and talks to the ventilator over a DEALER. It needs
to know nothing of a request beforehand: every message of rows says whose it is.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import numpy as np
import zmq

from bert_serving.client.errors import RowFailed, ServerBusy
from bert_serving.client.wire import encode_error_reply, encode_rows_reply, topic
from bert_serving.server.config import ServerConfig
from bert_serving.server.core.assembly import Assembly, unpack
from bert_serving.server.core.first_answers import FirstAnswers
from bert_serving.server.core.listeners import Listeners
from bert_serving.server.core.unsent import Unsent
from bert_serving.server.log import Throttle
from bert_serving.server.transport import sockets
from bert_serving.server.transport.child_line import ChildLine
from bert_serving.server.transport.curve import Gate, open_gate
from bert_serving.server.transport.meeting import Contact
from bert_serving.server.transport.messages import (
    Answer,
    Delivered,
    Hello,
    Left,
    Message,
    NewVentilator,
    Received,
    Rows,
    Stop,
    Void,
    decode,
    encode,
)

log = logging.getLogger(__name__)

EXPIRE_INTERVAL_MS = 1_000
RETRY_INTERVAL_MS = 5
LARGE_ANSWER = 1 << 16
"""Bytes: from here on answers on their way are counted by size."""

MOST_CLOSED = 5_000
"""Jobs that are remembered after their answer, so that parts which come late begin nothing."""

FIRST_REQUEST_ID = b"1"
"""Of the question that a 1.10 client asks while it connects; it asks once, and waits for ever."""


def run(config: ServerConfig, arguments: Mapping[str, Any]) -> None:
    """Run the sink until it is told to stop. `arguments`: contact, insider, remote_host, results (a descriptor) and
    pad_to."""
    contact = Contact.of(arguments["contact"])
    with ExitStack() as opened:
        inside, outside = zmq.Context(), zmq.Context()  # an authenticator asks for clients' keys in a whole context
        opened.callback(inside.destroy, linger=sockets.PUBLISH_LINGER_MS)
        opened.callback(outside.term)
        insider = arguments["insider"]
        gate = opened.enter_context(open_gate(outside, config.curve_dir, insider.encode() if insider else None))
        results = opened.enter_context(sockets.bind_results(outside, config, arguments["results"]))
        rows, rows_address = _bind_rows(inside, contact, arguments["remote_host"])
        supervisor = ChildLine(inside, contact)
        supervisor.hello(rows_address)

        def connect(address: str) -> sockets.Socket:
            sock = sockets.connect_internal(inside, zmq.DEALER, address, contact.keys, contact.line)
            sock.send_multipart(encode(Hello(os.getpid(), rows_address)))
            return sock

        listeners = Listeners(config.result_ttl, config.max_clients)
        Sink(config, arguments["pad_to"], listeners, results, rows, supervisor, connect, gate).loop()


def _bind_rows(context: zmq.Context[Any], contact: Contact, remote_host: str | None) -> tuple[sockets.Socket, str]:
    """The PULL socket for rows, and its address for workers."""
    if remote_host is None:
        return sockets.bind_internal(context, zmq.PULL, Path(contact.folder), contact.line, contact.keys)
    return sockets.bind_remote(context, zmq.PULL, remote_host, contact.keys)


class Sink:
    """The loop. `pad_to` is the T of `[B, T, D]` replies, None for the longest row of each request."""

    def __init__(
        self,
        config: ServerConfig,
        pad_to: int | None,
        listeners: Listeners,
        results: sockets.Socket,
        rows: sockets.Socket,
        supervisor: ChildLine,
        connect: Callable[[str], sockets.Socket],
        gate: Gate | None,
    ) -> None:
        self._pad_to = pad_to
        self._results = results
        self._rows = rows
        self._supervisor = supervisor
        self._connect = connect
        self._ventilator: sockets.Socket | None = None
        self._gate = gate
        self._listeners = listeners
        self._first_answers = FirstAnswers()
        self._refusal = f"{config.max_clients} clients are connected, and no more may be (-max_clients)"
        self._open: dict[int, Assembly] = {}
        self._closed: dict[int, None] = {}
        self._unsent = Unsent()
        self._given_up = Throttle(log, "%d kept answer(s) were given up: their clients did not come, or do not read")
        self._blocked: set[bytes] = set()
        self._stopping = False

    def loop(self) -> None:
        poller = self._poller = zmq.Poller()
        handlers = {self._results: self._on_subscription, self._rows: self._on_rows}
        for sock in (*handlers, self._supervisor.socket):
            poller.register(sock, zmq.POLLIN)
        log.info("ready")
        while not self._stopping:
            fired = dict(poller.poll(RETRY_INTERVAL_MS if self._blocked else EXPIRE_INTERVAL_MS))
            for sock, handle in handlers.items():
                if sock in fired:
                    _take(sock, handle)
            if self._ventilator is not None and self._ventilator in fired:
                _take(self._ventilator, self._on_ventilator)
            for message in self._supervisor.hear():
                self._on_supervisor(message)
            for identity in list(self._blocked):
                self._send_kept(identity)
            self._supervisor.beat(time.monotonic())
            if self._gate is not None:
                self._gate.refresh()
            self._first_answers.expire(time.monotonic())
            self._give_up(self._listeners.expire(time.monotonic()))

    def _on_supervisor(self, message: Message) -> None:
        if isinstance(message, Stop):
            self._stopping = True
        elif isinstance(message, NewVentilator):
            if self._ventilator is not None:
                self._poller.unregister(self._ventilator)
                self._ventilator.close(linger=0)
            self._ventilator = self._connect(message.address)
            self._poller.register(self._ventilator, zmq.POLLIN)

    def _say(self, message: Message) -> None:
        """To the ventilator; while there is none nobody misses it, for its successor asks about all that it had."""
        if self._ventilator is not None:
            self._ventilator.send_multipart(encode(message))

    def _on_subscription(self, frames: list[zmq.Frame]) -> None:
        """A client (un)subscribes to its identity: it gets exactly that topic, see `wire.topic`."""
        event = frames[0].bytes
        identity = event[1:]
        if event[:1] == b"\1":
            self._results.setsockopt(zmq.SUBSCRIBE, topic(identity))
            self._listeners.subscribed(identity)
            if missed := self._first_answers.subscribed(identity, time.monotonic()):
                self._send_to_newest(identity, missed)
            self._send_kept(identity)
        elif event[:1] == b"\0":
            self._results.setsockopt(zmq.UNSUBSCRIBE, topic(identity))
            self._listeners.unsubscribed(identity)
            if identity not in self._listeners:
                self._blocked.discard(identity)
                self._unsent.forget(identity)

    def _on_ventilator(self, frames: list[zmq.Frame]) -> None:
        message = decode([frame.bytes for frame in frames])
        if isinstance(message, Stop):
            self._stopping = True
        elif isinstance(message, Rows):
            self._take(message)
        elif isinstance(message, (Answer, Void)):
            if isinstance(message, Answer) and message.job not in self._closed:
                self._publish(message.identity, _answer_frames(message))
            self._open.pop(message.job, None)
            self._remember_closed(message.job)
            self._say(Delivered(message.job, is_kept=False))

    def _send_to_newest(self, identity: bytes, frames: list[Any]) -> None:
        """Send to the one that has subscribed last, by a topic that it alone has for the moment."""
        private = identity + b"\1"
        self._results.setsockopt(zmq.SUBSCRIBE, private)
        with suppress(zmq.Again):  # it does not read: its own question was not what it waits for
            self._results.send_multipart([private, *frames[1:]], zmq.NOBLOCK)
        self._results.setsockopt(zmq.UNSUBSCRIBE, private)

    def _on_rows(self, frames: list[zmq.Frame]) -> None:
        message = decode([frame.buffer for frame in frames])
        if isinstance(message, Rows):
            self._take(message)

    def _take(self, message: Rows) -> None:
        if not message.job or message.job in self._closed:
            return  # a probe, or a part that was run twice
        identity, request_id = bytes(message.identity), bytes(message.request_id)
        assembly = self._open.setdefault(message.job, Assembly(message.total))
        _add(assembly, message)
        if assembly.complete:
            del self._open[message.job]
            self._remember_closed(message.job)
            is_kept = self._publish(identity, self._reply(assembly, identity, request_id), message.job)
            self._say(Delivered(message.job, is_kept))
        else:
            self._say(Received(message.job, message.offset))

    def _reply(self, assembly: Assembly, identity: bytes, request_id: bytes) -> list[Any]:
        if assembly.failures:
            index = min(assembly.failures)
            reason = f"text {index} could not be encoded: {assembly.failures[index]}"
            if len(assembly.failures) > 1:
                reason += f" ({len(assembly.failures)} texts of this request failed)"
            return encode_error_reply(identity, request_id, RowFailed(reason, index))
        tokens = [assembly.tokens[row] for row in range(assembly.count)] if assembly.tokens else None
        array = assembly.result(self._pad_to)
        num_tokens = int(assembly.num_tokens.sum())
        return encode_rows_reply(identity, request_id, array, tokens, sorted(assembly.truncated), num_tokens)

    def _remember_closed(self, job: int) -> None:
        self._closed[job] = None
        if len(self._closed) > MOST_CLOSED:
            del self._closed[next(iter(self._closed))]

    def _publish(self, identity: bytes, frames: list[Any], job: int = 0) -> bool:
        """Send an answer, or keep it; returns whether it is kept, which one that is too large for that is not."""
        is_next = identity in self._listeners and self._listeners.next_kept(identity) is None
        if is_next and self._send(identity, frames):
            return False
        given_up = self._listeners.keep(identity, frames, time.monotonic(), job)
        self._give_up(given_up)
        return job not in given_up

    def _give_up(self, jobs: list[int]) -> None:
        """What was kept is kept no more."""
        self._given_up.count(len(jobs), time.monotonic())
        for job in jobs:
            self._tell_left(job)

    def _tell_left(self, job: int) -> None:
        if job:
            self._say(Left(job))

    def _send_kept(self, identity: bytes) -> None:
        while (frames := self._listeners.next_kept(identity)) is not None and self._send(identity, frames):
            self._tell_left(self._listeners.sent(identity))

    def _send(self, identity: bytes, frames: list[Any]) -> bool:
        """Hand an answer to the network; False if too much waits there for this client, which is tried again soon."""
        if self._listeners.refuses(identity):
            frames = encode_error_reply(identity, frames[-1], ServerBusy(self._refusal))
        size = sum(len(frame) for frame in frames)
        is_large = size > LARGE_ANSWER
        try:
            if not is_large or self._unsent.has_room(identity, size):
                tracker = self._results.send_multipart(frames, zmq.NOBLOCK, copy=False, track=is_large)
                if tracker is not None:
                    self._unsent.add(identity, size, lambda: bool(tracker.done))
                self._blocked.discard(identity)
                if _is_first_answer(frames):
                    self._first_answers.sent(identity, frames, time.monotonic())
                return True
        except zmq.Again:
            pass
        self._blocked.add(identity)
        return False


def _take(sock: sockets.Socket, handle: Callable[[list[zmq.Frame]], None]) -> None:
    for frames in sockets.burst(sock):
        try:
            handle(frames)
        except Exception as error:  # one broken message must not silence the service
            log.error("a message was dropped: %s: %s", type(error).__name__, error, exc_info=True)


def _answer_frames(answer: Answer) -> list[bytes]:
    empty = [b""] if answer.is_error else []
    return [topic(answer.identity), answer.header, *empty, answer.request_id]


def _is_first_answer(frames: list[Any]) -> bool:
    """Whether it is a config or a status, as a reply of three frames is, and the first of its client."""
    return len(frames) == 3 and frames[-1] == FIRST_REQUEST_ID


def _add(assembly: Assembly, message: Rows) -> None:
    for position, reason in message.failures:
        assembly.fail(message.offset + position, reason)
    assembly.truncated.update(message.offset + position for position in message.truncated)
    where = range(message.offset, message.offset + message.count)
    assembly.num_tokens[where.start : where.stop] = message.num_tokens
    if message.tokens is not None:
        assembly.tokens.update(zip(where, message.tokens, strict=True))
    if message.dim:
        array = np.frombuffer(message.data, message.dtype).reshape(-1, message.dim)
        assembly.put(where, unpack(array, message.lengths))
