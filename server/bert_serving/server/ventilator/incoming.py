"""Messages of clients, frame by frame: no more of a message is kept than a request has, however many frames it has.

libzmq bounds a frame, not a message, and shows a message when it is whole. The intake reads by this.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import zmq

from bert_serving.client.frames import NOW, is_readable
from bert_serving.client.wire import MAX_FRAMES
from bert_serving.server.transport.connection_table import Connection
from bert_serving.server.transport.connections import Connections
from bert_serving.server.transport.sockets import BURST_S, Socket

_SURPLUS_AT_ONCE = 256
"""Frames beyond those that a request has, after which the clock is looked at, as after each message."""
_SURPLUS_S = 0.004
"""So much longer a turn may be within a message that has too many frames: all that clients sent waits behind it."""


@dataclass(slots=True)
class Incoming:
    """What came as one message: its first frames, how many there were, and how many bytes they had.

    A frame is None that would have made more of it than may be kept. `connection` is None for one that has gone.
    """

    connection: Connection | None = None
    frames: list[zmq.Frame | None] = field(default_factory=list)
    number: int = 0
    size: int = 0
    kept: int = 0


class Reader:
    """Reads from one socket. A message is taken in over several turns if it has many frames.

    `connections` are told what is read. Who sends more frames than a request has is hung up on.
    """

    def __init__(self, sock: Socket, max_bytes: int, connections: Connections) -> None:
        self._sock = sock
        self._max_bytes = max_bytes
        self._connections = connections
        self._message = Incoming()

    def burst(self) -> Iterator[Incoming]:
        """The messages that are there, but not so many that other sockets would wait long."""
        end_s = time.monotonic() + BURST_S
        message = self._message
        is_first = True
        while 0 < message.number <= MAX_FRAMES or time.monotonic() < end_s + _extra_s(message):
            if not is_first and not message.number and not is_readable(self._sock):
                self._connections.dry()
                return
            is_first = False  # of it a poll has told, or large requests are read and this attempt may be in vain
            try:
                is_whole = self._take(message) if message.number <= MAX_FRAMES else self._take_surplus(message)
            except zmq.Again:
                if not message.number:
                    self._connections.dry()
                return
            if is_whole:
                if message.connection is not None:
                    self._connections.read(message.connection, message.size, message.number)
                self._message = Incoming()
                yield message
                message = self._message

    def _take(self, message: Incoming) -> bool:
        """Read the frames that a request has, and one more if there is one; whether the last one was among them."""
        recv = self._sock.recv
        while message.number < MAX_FRAMES:
            frame = recv(NOW, copy=False)
            size = len(frame)
            message.number += 1
            message.size += size
            fits = message.kept + size <= self._max_bytes
            if fits:
                message.kept += size
            message.frames.append(frame if fits else None)
            if message.number == 1:
                message.connection = self._connections.of(frame)
            if not frame.more:
                return True
        frame = recv(NOW, copy=False)
        message.number += 1
        message.size += len(frame)
        if message.connection is not None:
            self._connections.hang_up(message.connection)
        return not frame.more

    def _take_surplus(self, message: Incoming) -> bool:
        """Read some frames that nobody wants, as fast as it goes; returns whether the last one was among them."""
        recv = self._sock.recv
        for _ in range(_SURPLUS_AT_ONCE):
            frame = recv(NOW, copy=False)
            message.number += 1
            message.size += len(frame)
            if not frame.more:
                return True
        return False


def _extra_s(message: Incoming) -> float:
    return _SURPLUS_S if message.number > MAX_FRAMES else 0.0
