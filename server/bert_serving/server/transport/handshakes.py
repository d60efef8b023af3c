"""Says which new connections of a public socket without keys may finish their handshake: ZAP, rfc.zeromq.org/spec/27.

The library takes in all that a connection sends, subscriptions too, as soon as its handshake has ended, and before
anybody can look at it. So the loop that owns the socket has a say before that. While it is busy, nobody new comes in.
Each handshake gets a number, which all messages of its connection carry as their User-Id: a descriptor does not tell
whose they are, for it is used again while they wait. With keys an authenticator does this, see `curve.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import zmq

from bert_serving.client.frames import is_readable, receive_now, send
from bert_serving.server.transport import sockets

AT_ONCE = 1_000
_COME_IN = b"200", b"OK"
_COME_LATER = b"300", b"later"
"""The library closes the connection without a word; a client's library comes again."""


class Handshakes:
    """Of the sockets of one context that have a ZAP domain. Who opens it closes it, after them."""

    def __init__(self, context: zmq.Context[Any]) -> None:
        self.socket: sockets.Socket = context.socket(zmq.ROUTER)
        self.socket.setsockopt(zmq.LINGER, 0)
        self.socket.bind("inproc://zeromq.zap.01")

    def close(self) -> None:
        """Answer no more: nobody new comes in."""
        self.socket.close()

    def answer(self, let_through: Callable[[str], int | None]) -> None:
        """Let those in who wait, and to whose address `let_through` gives a number."""
        for _ in range(AT_ONCE):
            if not is_readable(self.socket):
                return
            way, gap, version, request_id, _, address, *_ = (frame.bytes for frame in receive_now(self.socket))
            number = let_through(address.decode("ascii", "replace"))
            status = _COME_LATER if number is None else _COME_IN
            user = b"" if number is None else b"%d" % number
            send(self.socket, [way, gap, version, request_id, *status, user, b""])
