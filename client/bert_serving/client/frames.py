"""Messages of several frames, sent and received frame by frame.

pyzmq's own `send_multipart` and `recv_multipart` handle flags as members of an enum and ask the socket after each frame
whether more follow. For small messages that takes three to four times as long (7.3 us and 6.1 us for four frames, where
these take 1.8 us and 2.6 us).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import zmq

NOW = int(zmq.NOBLOCK)
"""As `flags`: raise zmq.Again instead of waiting."""
SMALL_BYTES = 1 << 16
"""Up to here a copy costs less than to keep the bytes until the network has them; pyzmq has the same bound."""
_MORE = int(zmq.SNDMORE)
_EVENTS, _READABLE = int(zmq.EVENTS), int(zmq.POLLIN)


def send(sock: zmq.Socket[Any], frames: Sequence[Any], flags: int = 0, *, copy: bool = True) -> None:
    """Send them as one message. Without `copy` large ones must not change until they are sent. Raises zmq.Again."""
    for frame in frames[:-1]:
        sock.send(frame, flags | _MORE, copy=copy or _is_small(frame))
    sock.send(frames[-1], flags, copy=copy or _is_small(frames[-1]))


def receive_now(sock: zmq.Socket[Any]) -> list[zmq.Frame]:
    """The frames of the next message, uncopied. Raises zmq.Again if none is there."""
    frame = sock.recv(NOW, copy=False)
    frames = [frame]
    while frame.more:
        frame = sock.recv(NOW, copy=False)
        frames.append(frame)
    return frames


def is_readable(sock: zmq.Socket[Any]) -> bool:
    """Whether a message waits. To ask costs a fifth of an attempt in vain, which makes an exception."""
    return bool(int(sock.get(_EVENTS)) & _READABLE)


def _is_small(frame: Any) -> bool:
    return type(frame) is bytes and len(frame) < SMALL_BYTES
