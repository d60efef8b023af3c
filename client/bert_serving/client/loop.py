"""The background thread of one client: it alone uses the sockets.

    callers ──outgoing, wake()──▶ ┌──────┐ ──PUSH──▶ port
                                  │ loop │
    futures ◀──pending.settle──── └──────┘ ◀──SUB─── port_out

A turn: wait, see what happened to the connections, take replies, decide who has waited too long, send. Requests are
held back until both connections are up, so that an answer is rarely published before the subscription is made;
what is in doubt is sent again, see `resend.py`.
"""

from __future__ import annotations

import logging
import socket
import time
from collections import deque
from collections.abc import Container
from contextlib import ExitStack, suppress
from typing import Any

import zmq
from zmq.utils.monitor import recv_monitor_message

from bert_serving.client.errors import (
    ClientClosed,
    ConnectFailed,
    MalformedMessage,
    ServerBusy,
    ServerRestarted,
    ServerStopping,
)
from bert_serving.client.frames import NOW, is_readable, receive_now, send
from bert_serving.client.green import make_poller
from bert_serving.client.handshake import Handshake
from bert_serving.client.keys import ClientKeys
from bert_serving.client.link import Link, explain
from bert_serving.client.pending import Asked, Kind, Pending
from bert_serving.client.resend import Resend
from bert_serving.client.waiting import TELL_AFTER_S, Waiting
from bert_serving.client.wire import MAX_REQUEST_ID_DIGITS, Command, ErrorReply, decode_reply, encode_command

logger = logging.getLogger(__name__)

HEARTBEAT_IVL_MS = 5_000
HEARTBEAT_TIMEOUT_MS = 20_000

WRONG_PEER_GRACE_S = 0.5
"""A handshake does not wait longer for a peer of the wrong kind, only for what the other port turns out to be."""

SMALL_FRAME_BYTES = 1 << 16
"""Up to here an array is copied out of its frame, which may be an unaligned part of a larger buffer."""

MAX_REPLIES_A_TURN = 100


class Loop:
    """Owns context, sockets and wake-up pair from its construction; `run` closes them."""

    def __init__(
        self,
        requests: Link,
        replies: Link,
        identity: bytes,
        pending: Pending,
        connect_timeout_s: float,
        keys: ClientKeys | None,
    ) -> None:
        self._links = (requests, replies)
        self._identity = identity
        self._pending = pending
        self._connect_timeout_s = connect_timeout_s
        self._keys = keys
        self._outgoing: deque[Asked] = deque()  # callers append, the loop takes
        self._handshakes: deque[Handshake] = deque()
        self._fail_waiting_at_s: float | None = None
        self._losses = 0
        self._resend = Resend()
        self._server_remembers: bool | None = None  # what it was asked already; one of 1.10 would compute it twice
        self._probe: Asked | None = None
        self._busy_because: str | None = None
        self._waiting = Waiting()
        self._is_up = False
        """Whether both connections stand."""
        self._is_stopping = False
        self._ended_because: str | None = None
        with ExitStack() as opened:
            self._open(opened)
            self._opened = opened.pop_all()

    # -- for callers, from any thread --

    def send(self, asked: Asked) -> None:
        self._outgoing.append(asked)
        self.wake()

    def shake_hands(self) -> Handshake:
        handshake = Handshake()
        self._handshakes.append(handshake)
        self.wake()
        if self._ended_because is not None:  # after the append: either this sees the end, or the end sees it
            handshake.fail(ClientClosed(self._ended_because))
        return handshake

    def stop(self) -> None:
        """Ask the thread to end; takes no lock, so that a finalizer may call it."""
        self._is_stopping = True
        self.wake()

    def wake(self) -> None:
        with suppress(OSError):  # full: a wake-up is on its way; closed: nobody is left to wake
            self._wake_writer.send(b"\0")

    # -- the thread --

    def run(self) -> None:
        """Serve until `stop`."""
        because = "the client is closed"
        try:
            with self._opened:
                while not self._is_stopping:
                    self._turn()
        except Exception as error:
            logger.exception("the client's input/output thread failed")
            because = f"the client's input/output thread failed: {error!r}"
        finally:
            self._ended_because = because
            self._pending.close(because)
            for handshake in list(self._handshakes):
                handshake.fail(ClientClosed(because))

    def _open(self, opened: ExitStack) -> None:
        self._wake_reader, self._wake_writer = socket.socketpair()
        for end in (self._wake_reader, self._wake_writer):
            end.setblocking(False)
            opened.callback(end.close)
        context = zmq.Context()
        opened.callback(context.destroy, linger=0)
        requests, replies = self._links
        self._push = self._connect(context, zmq.PUSH, requests)
        self._sub = self._connect(context, zmq.SUB, replies)
        self._monitored = [
            (link, sock, sock.get_monitor_socket()) for link, sock in ((requests, self._push), (replies, self._sub))
        ]
        self._poller = make_poller()
        for waited in (self._wake_reader, self._sub, *(monitor for _, _, monitor in self._monitored)):
            self._poller.register(waited, zmq.POLLIN)

    def _connect(self, context: zmq.Context[Any], kind: int, link: Link) -> zmq.Socket[bytes]:
        sock: zmq.Socket[bytes] = context.socket(kind)
        sock.linger = 0
        sock.set(zmq.HEARTBEAT_IVL, HEARTBEAT_IVL_MS)
        sock.set(zmq.HEARTBEAT_TIMEOUT, HEARTBEAT_TIMEOUT_MS)
        if self._keys is not None:
            self._keys.present(sock)
        if kind == zmq.SUB:
            sock.set(zmq.RCVHWM, 0)
            sock.subscribe(self._identity)
        sock.get_monitor_socket()  # before connect, to miss nothing
        sock.set(zmq.IPV6, link.is_ipv6)
        sock.connect(link.endpoint)
        return sock

    def _turn(self) -> None:
        happened = dict(self._poller.poll(self._wait_ms()))
        if self._wake_reader.fileno() in happened:
            self._wake_reader.recv(4096)
        now_s = time.monotonic()
        self._watch_links(happened, now_s)
        if self._sub in happened:
            self._receive()
        self._advance_handshakes(now_s)
        self._fail_overdue(now_s)
        self._tell_of_waiting(now_s)
        self._ask_again_after_loss()
        self._ask_again_when_due(now_s)
        self._send(now_s)

    def _wait_ms(self) -> int | None:
        """Until the next thing that happens by time alone; None if there is none."""
        handshakes = list(self._handshakes)  # callers append
        restarts_s = [link.restart_at_s for link in self._links if link.restart_at_s is not None]
        is_quiet = not handshakes and not restarts_s and self._resend.is_idle
        if self._is_up and is_quiet and self._waiting.tell_at_s == float("inf"):
            return None  # nearly always
        times_s = [handshake.ask_at_s or 0.0 for handshake in handshakes]
        times_s += [self._handshake_deadline_s(handshake) for handshake in handshakes]
        times_s += restarts_s
        times_s += [self._resend.next_s, self._waiting.tell_at_s]
        if self._fail_waiting_at_s is not None:
            times_s.append(self._fail_waiting_at_s)
        soonest_s = min(times_s, default=float("inf"))
        return None if soonest_s == float("inf") else max(0, int((soonest_s - time.monotonic()) * 1000) + 1)

    def _watch_links(self, happened: Container[Any], now_s: float) -> None:
        for link, sock, monitor in self._monitored:
            while monitor in happened and monitor.poll(0):
                happening = recv_monitor_message(monitor)
                link.observe(int(happening["event"]), int(happening["value"]), now_s)
                self._is_up = all(link.is_up for link in self._links)
            if link.restart_at_s is not None and now_s >= link.restart_at_s:
                sock.disconnect(link.endpoint)
                sock.set(zmq.IPV6, link.is_ipv6)
                sock.connect(link.endpoint)
                link.restarted()

    def _receive(self) -> None:
        for number in range(MAX_REPLIES_A_TURN):
            if number and not is_readable(self._sub):  # the first is there
                return
            frames = receive_now(self._sub)
            topic = frames[0].bytes
            if topic.removesuffix(b"\0") == self._identity:  # a 1.10 server sends by prefix
                self._server_remembers = topic.endswith(b"\0")
                self._settle(_contents(frames))

    def _settle(self, frames: list[Any]) -> None:
        try:
            reply = decode_reply(frames)
            error = reply.error if isinstance(reply, ErrorReply) else None
            self._resend.heard(reply.request_id)
            if isinstance(error, ServerBusy):
                self._busy_because = error.message
                self._resend.put_off(reply.request_id, time.monotonic() + error.retry_after_ms / 1000)
            elif isinstance(reply, ErrorReply) and isinstance(error, ServerRestarted):
                if asked := self._pending.take_restart(reply):
                    self._repeat(asked)
            elif not isinstance(error, ServerStopping):
                # a server that stops is about to hang up, and the one that takes its place is asked again
                self._pending.settle(reply)
        except MalformedMessage as error:
            logger.warning("the server sent a reply that cannot be read: %s", error)
            if frames[-1].isdigit() and len(frames[-1]) <= MAX_REQUEST_ID_DIGITS:
                self._pending.fail(int(frames[-1]), error)

    def _advance_handshakes(self, now_s: float) -> None:
        for handshake in list(self._handshakes):
            handshake.advance(now_s, self._ask_config, self._repeat)
            if not handshake.future.done() and now_s >= self._handshake_deadline_s(handshake):
                handshake.fail(ConnectFailed(self._explain(handshake.is_loading)))
            if handshake.future.done():
                self._handshakes.remove(handshake)

    def _explain(self, is_loading: bool) -> str:
        if self._is_up and self._busy_because is not None:
            return f"the server at {self._links[0].where} accepts no more requests: {self._busy_because}"
        return explain(*self._links, is_loading=is_loading and self._is_up)

    def _handshake_deadline_s(self, handshake: Handshake) -> float:
        if handshake.started_at_s is None:
            return float("inf")
        wrong = [link.given_up_at_s for link in self._links if link.given_up_at_s is not None and link.is_wrong_peer]
        deadline_s = handshake.started_at_s + self._connect_timeout_s
        return min([deadline_s, *(at_s + WRONG_PEER_GRACE_S for at_s in wrong)])

    def _ask_config(self) -> Asked:
        asked = self._pending.ask(Kind.JSON, lambda id_: encode_command(self._identity, id_, Command.SHOW_CONFIG))
        self._outgoing.append(asked)
        return asked

    def _repeat(self, asked: Asked) -> None:
        if asked not in self._outgoing:
            asked.is_repeated = True
            self._outgoing.append(asked)

    def _fail_overdue(self, now_s: float) -> None:
        """Without a server nobody waits longer than the connect timeout."""
        if self._is_up or not self._pending:
            self._fail_waiting_at_s = None
        elif self._fail_waiting_at_s is None:
            self._fail_waiting_at_s = now_s + self._connect_timeout_s
        elif now_s >= self._fail_waiting_at_s:
            self._fail_waiting_at_s = None
            because = explain(*self._links)
            self._pending.fail_all(lambda: ConnectFailed(because))

    def _tell_of_waiting(self, now_s: float) -> None:
        is_waiting = bool(self._handshakes) or (not self._is_up and bool(self._pending))
        if self._waiting.is_to_tell(is_waiting, now_s) and self._connect_timeout_s > TELL_AFTER_S:
            is_loading = any(handshake.is_loading for handshake in self._handshakes)
            limit = "" if self._connect_timeout_s == float("inf") else f" for up to {self._connect_timeout_s:g} s"
            logger.warning("waiting%s (connect_timeout): %s", limit, self._explain(is_loading))

    def _ask_again_after_loss(self) -> None:
        """The server that is back may be another process, which knows nothing of what its predecessor was asked."""
        requests, replies = self._links
        losses = requests.losses + replies.losses
        if self._is_up and losses > self._losses:
            self._losses = losses
            self._resend.connected_anew(self._pending.last_id)
            for asked in self._pending.waiting():
                self._repeat(asked)

    def _ask_again_when_due(self, now_s: float) -> None:
        for request_id in self._resend.take_due(now_s):
            asked = self._pending.find(request_id)
            if asked is None:
                self._resend.forget(request_id)
            elif asked.kind is Kind.JSON or self._server_remembers:
                self._repeat(asked)
            elif self._server_remembers is None and (self._probe is None or self._probe.future.done()):
                self._probe = self._ask_config()

    def _send(self, now_s: float) -> None:
        while self._outgoing:
            asked = self._outgoing[0]
            if not asked.future.done():
                if not self._is_up:
                    break
                try:
                    send(self._push, asked.frames_at(now_s), NOW)
                except zmq.Again:
                    break
                self._resend.sent(asked.request_id, sum(map(len, asked.frames)), now_s)
            self._outgoing.popleft()
        is_blocked = bool(self._outgoing) and self._is_up
        self._poller.register(self._push, zmq.POLLOUT if is_blocked else 0)


def _contents(frames: list[zmq.Frame]) -> list[Any]:
    """As wire.py reads them; the array's frame stays writable, and uncopied if it is large."""
    return [frame.bytes if index != 2 or len(frames) != 4 else _array(frame) for index, frame in enumerate(frames)]


def _array(frame: zmq.Frame) -> memoryview | bytearray:
    return frame.buffer if len(frame.buffer) > SMALL_FRAME_BYTES else bytearray(frame.buffer)
