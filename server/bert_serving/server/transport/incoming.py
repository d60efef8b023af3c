"""Messages of clients, frame by frame: no more of a message is kept than a request has, however many frames it has.

libzmq bounds a frame, not a message, and shows a message when it is whole. The door reads by this.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import zmq

from bert_serving.client.wire import MAX_FRAMES
from bert_serving.server.transport.sockets import BURST_S, Socket

_FRAMES_A_LOOK = 16
"""After so many frames of one message the clock is looked at, as after each message."""

_SURPLUS_S = 0.004
"""So much longer a turn may be within a message that has too many frames: all that clients sent waits behind it."""

Consumed = Callable[[int, int], None]
HangUp = Callable[[int], None]


@dataclass(slots=True)
class Incoming:
    """What came as one message: its first frames, how many there were, and how many bytes they had.

    A frame is None that would have made more of it than may be kept. `fd` is the connection's descriptor, or -1.
    """

    fd: int = -1
    frames: list[zmq.Frame | None] = field(default_factory=list)
    number: int = 0
    size: int = 0
    kept: int = 0
    on_wire: int = 0
    """Bytes with the headers of frames; without those of encryption."""


class Reader:
    """Reads from one socket. A message is taken in over several turns if it has many frames.

    `consumed` gets the descriptor and the bytes on the wire of each message that was read to its end; `hang_up` the
    descriptor of who sent more frames than a request has, once for each such message.
    """

    def __init__(
        self, sock: Socket, max_bytes: int, consumed: Consumed | None = None, hang_up: HangUp | None = None
    ) -> None:
        self._sock = sock
        self._max_bytes = max_bytes
        self._consumed = consumed
        self._hang_up = hang_up
        self._message = Incoming()

    def burst(self) -> Iterator[Incoming]:
        """The messages that are there, but not so many that other sockets would wait long."""
        end_s = time.monotonic() + BURST_S
        message = self._message
        while message.number % _FRAMES_A_LOOK or time.monotonic() < end_s + _extra_s(message):
            try:
                frame = self._sock.recv(zmq.NOBLOCK, copy=False)
            except zmq.Again:
                return
            self._add(message, frame)
            if not frame.more:
                if self._consumed is not None:
                    self._consumed(message.fd, message.on_wire)
                self._message = Incoming()
                yield message
                message = self._message

    def _add(self, message: Incoming, frame: zmq.Frame) -> None:
        size = len(frame)
        number = message.number = message.number + 1
        message.size += size
        message.on_wire += size + (2 if size < 256 else 9)
        if number <= MAX_FRAMES:
            fits = message.kept + size <= self._max_bytes
            if fits:
                message.kept += size
            message.frames.append(frame if fits else None)
            if number == 1:
                message.fd = _descriptor(frame)
        elif number == MAX_FRAMES + 1 and self._hang_up is not None:
            self._hang_up(message.fd)


def _extra_s(message: Incoming) -> float:
    return _SURPLUS_S if message.number > MAX_FRAMES else 0.0


def _descriptor(frame: zmq.Frame) -> int:
    try:
        return int(frame.get(zmq.SRCFD))
    except zmq.ZMQError:
        return -1
