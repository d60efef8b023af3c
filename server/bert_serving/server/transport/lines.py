"""The ventilator's lines to its children: a socket for those on this machine, another for workers elsewhere."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator

import zmq

from bert_serving.server.log import Throttle
from bert_serving.server.transport import sockets
from bert_serving.server.transport.messages import Message, decode, encode

log = logging.getLogger(__name__)


class Lines:
    """Children by name, whichever socket they came by. Who opened the sockets closes them."""

    def __init__(self, *socks: sockets.Socket) -> None:
        self.sockets = socks
        self._garbage = Throttle(log, "%d message(s) that are none were dropped, the last one from %s")
        self._by_name: dict[str, sockets.Socket] = {}

    def receive(self) -> Iterator[tuple[str, Message]]:
        """What children say: their names, and the messages."""
        for sock in self.sockets:
            for name, *frames in sockets.burst(sock):
                heard = self._read(name.bytes, frames)
                if heard is not None:
                    self._by_name[heard[0]] = sock
                    yield heard

    def _read(self, name: bytes, frames: list[zmq.Frame]) -> tuple[str, Message] | None:
        try:
            return name.decode(), decode([frame.bytes for frame in frames])
        except ValueError:  # UnknownMessage, or a name that is none: garbage must not end the service
            self._garbage.count(1, time.monotonic(), ascii(name)[:40])
            return None

    def send(self, name: str, message: Message) -> bool:
        """Whether it could be sent: not to one that has never said anything, nor to one that is gone."""
        sock = self._by_name.get(name)
        if sock is None:
            return False
        try:
            sock.send_multipart([name.encode(), *encode(message)])
        except zmq.ZMQError as error:  # it is gone, which its pipe tells
            log.debug("%s could not be sent to %s: %s", type(message).__name__, name, error)
            return False
        return True
