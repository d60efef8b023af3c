"""The lines of a child: to the supervisor, and of workers and sink to the ventilator.

By the one a child says hello and that it is alive, and hears when to stop; by the other it works. Who opens a context
closes it, and these sockets with it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import zmq

from bert_serving.client.frames import send
from bert_serving.server.message.codec import encode, encode_all
from bert_serving.server.message.messages import Alive, Hello, Message
from bert_serving.server.transport import sockets
from bert_serving.server.transport.lines import read
from bert_serving.server.transport.meeting import Contact

ALIVE_INTERVAL_S = 1.0


class ChildLine:
    """To the supervisor. `socket` is for the child's poll, `greeting` what it has said hello with."""

    def __init__(self, context: zmq.Context[Any], contact: Contact) -> None:
        self.socket = sockets.connect_internal(context, zmq.DEALER, contact.supervisor, contact.keys, contact.line)
        self.greeting = Hello(os.getpid())
        self._beat_s = 0.0

    def hello(self, address: str = "", remote_address: str = "") -> None:
        """Say that this child is there, and where others reach it."""
        self.greeting = Hello(os.getpid(), address, remote_address)
        self.say(self.greeting)

    def say(self, message: Message) -> None:
        send(self.socket, encode(message))

    def beat(self, now_s: float) -> None:
        """Say that this child is alive, now and then."""
        if now_s >= self._beat_s + ALIVE_INTERVAL_S:
            self._beat_s = now_s
            self.say(Alive())

    def hear(self) -> Iterator[Message]:
        """What the supervisor has said."""
        return _messages(self.socket)


class VentilatorLine:
    """To the ventilator, whichever there is. `poller` is the child's, and has its socket while there is one."""

    def __init__(self, context: zmq.Context[Any], contact: Contact, poller: zmq.Poller) -> None:
        self._context = context
        self._contact = contact
        self._poller = poller
        self.socket: sockets.Socket | None = None
        self._unsaid: list[Message] = []

    def connect(self, address: str) -> None:
        """There is another ventilator: speak to this one."""
        self._unsaid.clear()
        if self.socket is not None:
            self._poller.unregister(self.socket)
            self.socket.close(linger=0)
        contact = self._contact
        self.socket = sockets.connect_internal(self._context, zmq.DEALER, address, contact.keys, contact.line)
        self._poller.register(self.socket, zmq.POLLIN)

    def say(self, message: Message) -> None:
        """While there is none nobody misses it: its successor asks about all that it had."""
        self.flush()
        if self.socket is not None:
            send(self.socket, encode(message))

    def say_soon(self, message: Message) -> None:
        """Say it with the next `flush`, together with others of its kind, which has numbers alone."""
        if self._unsaid and type(self._unsaid[0]) is not type(message):
            self.flush()
        self._unsaid.append(message)

    def flush(self) -> None:
        """Say what is to be said soon."""
        if self._unsaid:
            unsaid, self._unsaid = self._unsaid, []
            if self.socket is not None:
                send(self.socket, encode_all(unsaid))

    def hear(self) -> Iterator[Message]:
        """What the ventilator has said."""
        return iter(()) if self.socket is None else _messages(self.socket)


def _messages(sock: sockets.Socket) -> Iterator[Message]:
    for frames in sockets.burst(sock):
        yield from read([frame.bytes for frame in frames])
