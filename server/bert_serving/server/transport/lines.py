"""Lines to children: a socket for those on this machine, another for workers elsewhere.

The supervisor has such lines to all its children, the ventilator to workers and sink.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator

import zmq

from bert_serving.server.transport import sockets
from bert_serving.server.transport.messages import Message, UnknownMessage, decode, encode

log = logging.getLogger(__name__)


class Lines:
    """Children by line, whichever socket they came by. Who opened the sockets closes them."""

    def __init__(self, *socks: sockets.Socket) -> None:
        self.sockets = socks
        self._by_line: dict[str, sockets.Socket] = {}

    def receive(self) -> Iterator[tuple[str, Message]]:
        """What children say: their lines, and the messages. What is no message is left out."""
        for sock in self.sockets:
            for frames in sockets.burst(sock):
                line, *content = (frame.bytes for frame in frames)
                try:
                    message = decode(content)
                except UnknownMessage as error:
                    log.error("a message was dropped: %s", error)
                    continue
                self._by_line[line.decode(errors="replace")] = sock
                yield line.decode(errors="replace"), message

    def send(self, line: str, message: Message) -> bool:
        """Whether it could be sent: not to one that has never said anything, nor to one that is gone."""
        sock = self._by_line.get(line)
        if sock is None:
            return False
        try:
            sock.send_multipart([line.encode(), *encode(message)])
        except zmq.ZMQError as error:  # it is gone, which its pipe tells
            log.debug("%s could not be sent to %s: %s", type(message).__name__, line, error)
            return False
        return True

    def forget(self, line: str) -> None:
        """This child has ended."""
        self._by_line.pop(line, None)
