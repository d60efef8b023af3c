"""Lines to children: a socket for those on this machine, another for workers elsewhere.

The supervisor has such lines to all its children, the ventilator to workers and sink.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Container, Iterator, Sequence
from pathlib import Path
from typing import Any

import zmq

from bert_serving.client.frames import send
from bert_serving.server.log import Throttle
from bert_serving.server.message.codec import UnknownMessage, decode_all, encode
from bert_serving.server.message.messages import Message
from bert_serving.server.transport import sockets
from bert_serving.server.transport.run_keys import RunKeys

log = logging.getLogger(__name__)

_garbage = Throttle(log, "dropped %d unreadable message(s) of our own processes, the last one: %s")


def read(frames: Sequence[bytes | memoryview]) -> Sequence[Message]:
    """Messages of one of our own processes; none if these are none, such as one whose memory is broken might send."""
    try:
        return decode_all(frames)
    except UnknownMessage as error:
        _garbage.count(1, time.monotonic(), error)
        return ()


class Lines:
    """Children by line, whichever socket they came by. `address` and `remote_address` are where they connect to."""

    def __init__(
        self, context: zmq.Context[Any], folder: Path, name: str, keys: RunKeys, remote_host: str | None
    ) -> None:
        """Bound as `name` in `folder`, and at `remote_host` if workers elsewhere are to reach it there."""
        local, self.address = sockets.bind_internal(context, zmq.ROUTER, folder, name, keys)
        self.sockets = [local]
        self.remote_address = ""
        if remote_host is not None:
            remote, self.remote_address = sockets.bind_remote(context, zmq.ROUTER, remote_host, keys)
            self.sockets.append(remote)
        self._by_line: dict[str, sockets.Socket] = {}
        self._names: dict[bytes, str] = {}

    def receive(self, happened: Container[sockets.Socket] | None = None) -> Iterator[tuple[str, Message]]:
        """What children say: their lines, and the messages. `happened`: what a poll has told of, if there was one."""
        for sock in self.sockets if happened is None else [sock for sock in self.sockets if sock in happened]:
            for frames in sockets.burst(sock):
                line = frames[0].bytes
                messages = read([frame.bytes for frame in frames[1:]])
                name = self._names.get(line, "")
                if messages and self._by_line.get(name) is not sock:
                    name = self._names[line] = line.decode(errors="replace")
                    self._by_line[name] = sock
                for message in messages:
                    yield name, message

    def send(self, line: str, message: Message) -> bool:
        """Whether it could be sent: not to one that has never said anything, nor to one that is gone."""
        sock = self._by_line.get(line)
        if sock is None:
            return False
        try:
            send(sock, [line.encode(), *encode(message)])
        except zmq.ZMQError as error:  # it is gone, which its pipe tells
            log.debug("%s could not be sent to %s: %s", type(message).__name__, line, error)
            return False
        return True

    def forget(self, line: str) -> None:
        """This child has ended."""
        self._by_line.pop(line, None)
        self._names.pop(line.encode(), None)
