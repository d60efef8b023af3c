"""The ventilator's lines to its children: a socket for those on this machine, another for workers elsewhere."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import zmq

from bert_serving.server.transport import sockets
from bert_serving.server.transport.messages import Message, decode, encode

log = logging.getLogger(__name__)


class Lines:
    """Children by name, whichever socket they came by. Who opened the sockets closes them."""

    def __init__(self, *socks: sockets.Socket) -> None:
        self.sockets = socks
        self._by_name: dict[str, sockets.Socket] = {}

    def receive(self) -> Iterator[tuple[str, Message]]:
        """What children say: their names, and the messages."""
        for sock in self.sockets:
            for name, *frames in sockets.burst(sock):
                self._by_name[name.bytes.decode()] = sock
                yield name.bytes.decode(), decode([frame.bytes for frame in frames])

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
