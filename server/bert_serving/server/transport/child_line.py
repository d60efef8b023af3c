"""A child's line to the supervisor: by it the child says hello and that it is alive, and hears when to stop."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from typing import Any

import zmq

from bert_serving.server.transport import sockets
from bert_serving.server.transport.meeting import Contact
from bert_serving.server.transport.messages import Alive, Hello, Message, UnknownMessage, decode, encode

log = logging.getLogger(__name__)

ALIVE_INTERVAL_S = 1.0


class ChildLine:
    """`socket` is for the child's poll. Who opens it closes it, by closing its context."""

    def __init__(self, context: zmq.Context[Any], contact: Contact) -> None:
        self.socket = sockets.connect_internal(context, zmq.DEALER, contact.supervisor, contact.keys, contact.line)
        self._beat_s = 0.0

    def hello(self, address: str = "", remote_address: str = "") -> None:
        """Say that this child is there, and where others reach it."""
        self.say(Hello(os.getpid(), address, remote_address))

    def say(self, message: Message) -> None:
        self.socket.send_multipart(encode(message))

    def beat(self, now_s: float) -> None:
        """Say that this child is alive, now and then."""
        if now_s >= self._beat_s + ALIVE_INTERVAL_S:
            self._beat_s = now_s
            self.say(Alive())

    def hear(self) -> Iterator[Message]:
        """What the supervisor has said."""
        return messages(self.socket)


def messages(sock: sockets.Socket) -> Iterator[Message]:
    """What waits on a line to one of our own processes; what is no message is left out."""
    for frames in sockets.burst(sock):
        try:
            yield decode([frame.bytes for frame in frames])
        except UnknownMessage as error:
            log.error("a message was dropped: %s", error)
