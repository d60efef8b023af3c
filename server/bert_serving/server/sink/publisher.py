"""The sink's side towards clients: sends answers to subscribers, and keeps those that they cannot take yet.

It owns no socket: the sink gives it the XPUB socket and its connections, and gives it turns. Who listens, what is
kept, whose turn it is and what waits on the network is decided by the other modules here.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from logging import getLogger
from typing import Any

import zmq

from bert_serving.client.errors import ServerBusy
from bert_serving.client.frames import NOW, send
from bert_serving.client.wire import encode_error_reply, topic
from bert_serving.server.config import ServerConfig
from bert_serving.server.log import Throttle
from bert_serving.server.message.messages import Left
from bert_serving.server.sink.first_answers import FirstAnswers
from bert_serving.server.sink.listeners import Listeners
from bert_serving.server.sink.retries import Retries
from bert_serving.server.sink.unsent import STUCK_S, Unsent
from bert_serving.server.transport.connection_table import Connection
from bert_serving.server.transport.connections import Connections
from bert_serving.server.transport.sockets import BURST_S, Socket

log = getLogger(__name__)

AT_ONCE = 16
"""Kept answers that one client gets before it is another's turn."""
EXPIRE_INTERVAL_S = 0.02
LOOK_INTERVAL_S = 1.0
"""How often readers that do not read are looked for."""
MOST_CHANGES = 256
"""Subscriptions and their ends that a connection may send, and one more for each second that it is there."""
FIRST_REQUEST_ID = b"1"
"""Of the question that a 1.10 client asks while it connects; it asks once, and waits forever."""


class Publisher:
    """`say` tells the ventilator of each answer that was kept, and is sent now or given up (`Left`)."""

    def __init__(
        self,
        config: ServerConfig,
        listeners: Listeners,
        results: Socket,
        connections: Connections,
        say: Callable[[Left], None],
    ) -> None:
        self._results = results
        self._connections = connections
        self._say = say
        self._listeners = listeners
        self._refusal = f"{config.max_clients} clients are connected, which is the maximum (-max_clients)"
        self._first_answers = FirstAnswers()
        self._retries = Retries()
        self._unsent = Unsent()
        self._subscribers: dict[int, tuple[Connection, int]] = {}
        """By serial number: those that ever subscribed, and how often they changed something."""
        self._given_up = Throttle(log, "dropped %d kept answer(s): their clients did not come back, or do not read")
        self._expire_at_s = 0.0
        self._look_at_s = 0.0

    # -- turns --------------------------------------------------------------------------------------------------------

    @property
    def next_s(self) -> float:
        """When a turn is due, if nothing comes before."""
        return min(self._retries.next_s, self._connections.next_s)

    def turn(self, now_s: float, *, has_news: bool = True) -> None:
        """What has to be done now and then; none of it takes long, however many there are.

        `has_news`: connections came or went.
        """
        for serial in self._connections.turn(now_s, has_news=has_news):
            self._forget(serial)
        if self._retries.next_s <= now_s:
            self._send_due(now_s)
        if now_s >= self._expire_at_s:
            self._expire_at_s = now_s + EXPIRE_INTERVAL_S
            self._first_answers.expire(now_s)
            self._give_up(self._listeners.expire(now_s))
        if now_s >= self._look_at_s:
            self._look_at_s = now_s + LOOK_INTERVAL_S
            if (identity := self._unsent.stuck(now_s)) is not None:
                self._end_stuck(identity, now_s)

    def _end_stuck(self, identity: bytes, now_s: float) -> None:
        """Who takes no byte while others have no room for theirs has to go."""
        readers = [self._subscribers[serial][0] for serial in self._listeners.connections(identity)]
        stuck = [one for one in readers if one.sent_s + STUCK_S <= now_s]
        for one in stuck:
            self._connections.hang_up(one)
        if not stuck:
            self._unsent.moved(identity, now_s)

    def _forget(self, serial: int) -> None:
        """A connection has gone, and all that it had subscribed to."""
        self._subscribers.pop(serial, None)
        for identity in self._listeners.gone(serial):
            self._forget_identity(identity)

    def _forget_identity(self, identity: bytes) -> None:
        self._retries.forget(identity)
        self._unsent.forget(identity)

    # -- subscriptions ------------------------------------------------------------------------------------------------

    def on_subscription(self, frames: list[zmq.Frame]) -> None:
        """A client (un)subscribes to its identity: it gets exactly that topic, see `wire.topic`."""
        one = self._connections.of(frames[0])
        if one is None or one.is_going:
            return  # it has gone: the library tells of each subscription that ends with it
        event = frames[0].bytes
        self._connections.read(one, sum(len(frame) for frame in frames), len(frames))
        kind, identity = event[:1], event[1:]
        is_subscription = len(frames) == 1 and kind in (b"\0", b"\1")  # who sends anything else is no client
        if not is_subscription or not self._may(one, kind, identity):
            self._connections.hang_up(one)
        elif kind == b"\1":
            self._subscribe(one, identity, time.monotonic())
        elif self._listeners.unsubscribed(one.serial, identity):
            self._results.setsockopt(zmq.UNSUBSCRIBE, topic(identity))
            if identity not in self._listeners:
                self._forget_identity(identity)

    def _may(self, one: Connection, kind: bytes, identity: bytes) -> bool:
        """Whether its key still counts, and it keeps to the bounds of one connection."""
        now_s = time.monotonic()
        changes = self._subscribers.get(one.serial, (one, 0))[1] + 1
        self._subscribers[one.serial] = one, changes
        if not self._connections.may(one) or changes > MOST_CHANGES + (now_s - one.since_s):
            return False
        return kind == b"\0" or self._listeners.takes(one.serial, identity)

    def _subscribe(self, one: Connection, identity: bytes, now_s: float) -> None:
        if not self._listeners.subscribed(one.serial, identity):
            return
        self._results.setsockopt(zmq.SUBSCRIBE, topic(identity))
        if (most := self._listeners.too_much()) is not None:
            self._connections.hang_up(self._subscribers[most][0])
            self._forget(most)
        if missed := self._first_answers.subscribed(identity, now_s):
            self._send_to_newest(identity, missed)
        if self._listeners.next_kept(identity) is not None:
            self._retries.soon(identity, now_s)

    def _send_to_newest(self, identity: bytes, frames: list[Any]) -> None:
        """Send to the one that has subscribed last, by a topic that it alone has for the moment."""
        private = identity + b"\1"
        self._results.setsockopt(zmq.SUBSCRIBE, private)
        with suppress(zmq.Again):  # it does not read: its own question was not what it waits for
            send(self._results, [private, *frames[1:]], NOW)
        self._results.setsockopt(zmq.UNSUBSCRIBE, private)

    # -- answers ------------------------------------------------------------------------------------------------------

    def publish(self, identity: bytes, frames: list[Any], job: int = 0) -> bool:
        """Send an answer, or keep it; returns whether it is kept, which one that is too large for that is not."""
        now_s = time.monotonic()
        is_there = identity in self._listeners
        if is_there and self._listeners.next_kept(identity) is None:
            if self._send(identity, frames, now_s):
                return False
            self._retries.later(identity, now_s)
        given_up = self._listeners.keep(identity, frames, now_s, job)
        self._give_up(given_up)
        return job not in given_up

    def _give_up(self, jobs: list[int]) -> None:
        """What was kept is kept no more."""
        self._given_up.count(len(jobs), time.monotonic())
        for job in jobs:
            if job:
                self._say(Left(job))

    def _send_due(self, now_s: float) -> None:
        """Send what is kept for those who listen: each in turn, for as long as a burst may take."""
        end_s = time.monotonic() + BURST_S
        for identity in self._retries.due(now_s):
            self._send_kept(identity, now_s)
            if time.monotonic() > end_s:
                return

    def _send_kept(self, identity: bytes, now_s: float) -> None:
        for _ in range(AT_ONCE):
            frames = self._listeners.next_kept(identity)
            if frames is None or identity not in self._listeners:
                self._retries.forget(identity)
                return
            if not self._send(identity, frames, now_s):
                self._retries.later(identity, now_s)
                return
            self._retries.soon(identity, now_s)
            if job := self._listeners.sent(identity):
                self._say(Left(job))

    def _send(self, identity: bytes, frames: list[Any], now_s: float) -> bool:
        """Hand an answer to the network; False if too much waits there for this client, or for all."""
        if self._listeners.refuses(identity):
            frames = encode_error_reply(identity, frames[-1], ServerBusy(self._refusal))
        size = sum(len(frame) for frame in frames)
        if not self._unsent.has_room(identity, size, now_s):
            return False
        is_followed = self._unsent.is_followed(identity, size)
        last = zmq.Frame(frames[-1], track=True, copy=False, copy_threshold=0) if is_followed else frames[-1]
        try:
            send(self._results, [*frames[:-1], last], NOW, copy=False)
        except zmq.Again:
            return False
        tracker = last.tracker if is_followed else None
        self._unsent.add(identity, size, None if tracker is None else lambda: bool(tracker.done), now_s)
        if _is_first_answer(frames):
            self._first_answers.sent(identity, frames, now_s)
        return True


def _is_first_answer(frames: list[Any]) -> bool:
    """Whether it is a config or a status, as a reply of three frames is, and the first of its client."""
    return len(frames) == 3 and frames[-1] == FIRST_REQUEST_ID
