"""ZMTP 3 by hand, over a plain socket: what libzmq would never send can be sent, and what it would read can be left.

Greeting, READY, frames, subscriptions and PING are bytes that functions make; `Wire` is one connection that sends them.
Whatever the other end does to a connection is an OSError here.
"""

from __future__ import annotations

import random
import socket
import struct
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import TracebackType

MORE, LONG, COMMAND = 1, 2, 4
"""Flags of a frame."""
GREETING_BYTES = 64
LONGEST_SHORT = 255
HERE = "127.0.0.1"
BIND_ADDRESS_NO_PORT = 24
"""Linux's IP_BIND_ADDRESS_NO_PORT: the port is chosen when it is known whom to connect to."""


def greeting(minor: int = 0, mechanism: bytes = b"NULL") -> bytes:
    """64 bytes; `minor` 1 for ZMTP 3.1."""
    return b"\xff" + bytes(8) + b"\x7f" + bytes([3, minor]) + mechanism.ljust(20, b"\0") + bytes(32)


def header(size: int, flags: int = 0) -> bytes:
    """What stands before a frame's body of `size` bytes, whether or not it ever comes."""
    if size > LONGEST_SHORT:
        return bytes([flags | LONG]) + struct.pack(">Q", size)
    return bytes([flags, size])


def frame(body: bytes, flags: int = 0) -> bytes:
    return header(len(body), flags) + body


def message(frames: Sequence[bytes]) -> bytes:
    """All frames, the last one without MORE."""
    return b"".join([*(frame(body, MORE) for body in frames[:-1]), frame(frames[-1])])


def command(name: bytes, content: bytes = b"") -> bytes:
    return frame(bytes([len(name)]) + name + content, COMMAND)


def ready(kind: bytes, **properties: bytes) -> bytes:
    """The command that ends a handshake without keys; `kind` is PUSH, SUB, DEALER ..."""
    named = {b"Socket-Type": kind, **{name.encode(): value for name, value in properties.items()}}
    content = [bytes([len(name)]) + name + struct.pack(">I", len(value)) + value for name, value in named.items()]
    return command(b"READY", b"".join(content))


def ping(context: bytes = b"", ttl: int = 0) -> bytes:
    """ZMTP 3.1 lets `context` have 16 bytes."""
    return command(b"PING", struct.pack(">H", ttl) + context)


def subscription(topic: bytes) -> bytes:
    """As ZMTP 3.0 has it: a message of one frame."""
    return frame(b"\1" + topic)


def cancellation(topic: bytes) -> bytes:
    return frame(b"\0" + topic)


class Wire:
    """A connection to a port of this machine, from `source`. `timeout_s` bounds each connect, send and read."""

    def __init__(
        self, port: int, timeout_s: float = 2.0, receive_bytes: int | None = None, source: str | None = None
    ) -> None:
        self.socket = socket.socket()
        self.socket.settimeout(timeout_s)
        if source is not None:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # else a server finds the port in use
            self.socket.setsockopt(socket.IPPROTO_IP, BIND_ADDRESS_NO_PORT, 1)
            self.socket.bind((source, 0))
        if receive_bytes is not None:  # a small window: what is not read waits at the server
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        try:
            self.socket.connect((HERE, port))
        except OSError:
            self.socket.close()
            raise

    def shake_hands(self, kind: bytes, minor: int = 0, **properties: bytes) -> Wire:
        """Greeting and READY of both; afterwards frames may go."""
        self.send(greeting(minor))
        self._read(GREETING_BYTES)
        self.send(ready(kind, **properties))
        self.read_frame()  # the other's READY
        return self

    def send(self, content: bytes) -> None:
        self.socket.sendall(content)

    def read_message(self) -> list[bytes]:
        """The frames of the next message, which has to come within the timeout; a PING is answered meanwhile."""
        frames: list[bytes] = []
        with self._deadline() as wait:
            while True:
                more, body = self._read_content(wait)
                frames.append(body)
                if not more:
                    return frames

    def read_beginning(self, frames: int) -> list[bytes]:
        """The first frames of the next message, as `read_message`; the rest is left."""
        with self._deadline() as wait:
            return [self._read_content(wait)[1] for _ in range(frames)]

    @contextmanager
    def _deadline(self) -> Iterator[Callable[[], None]]:
        """Gives what lets the next read wait no longer than is left of the timeout; TimeoutError if nothing is."""
        timeout_s = self.socket.gettimeout() or 0.0
        end_s = time.monotonic() + timeout_s

        def wait() -> None:
            left_s = end_s - time.monotonic()
            if left_s <= 0:
                raise TimeoutError("nothing came in time")
            self.socket.settimeout(left_s)

        try:
            yield wait
        finally:
            self.socket.settimeout(timeout_s)

    def _read_content(self, wait: Callable[[], None]) -> tuple[bool, bytes]:
        """Whether more follows, and the body of the next frame that is no command."""
        while True:
            wait()
            flags, body = self.read_frame()
            if not flags & COMMAND:
                return bool(flags & MORE), body
            if body.startswith(b"\4PING"):
                self.send(command(b"PONG", body[7:]))

    def read_frame(self) -> tuple[int, bytes]:
        """Flags and body."""
        (flags,) = self._read(1)
        (size,) = struct.unpack(">Q", self._read(8)) if flags & LONG else self._read(1)
        return flags, self._read(size)

    def _read(self, size: int) -> bytes:
        content = bytearray()
        while len(content) < size:
            chunk = self.socket.recv(min(size - len(content), 1 << 16))
            if not chunk:
                raise ConnectionResetError("the other end has closed")
            content += chunk
        return bytes(content)

    def is_hung_up_on(self, timeout_s: float = 30.0) -> bool:
        """Whether the other end has ended it, or does within that time. What comes meanwhile is dropped."""
        self.socket.settimeout(timeout_s)
        try:
            while self.socket.recv(1 << 16):
                pass
        except TimeoutError:
            return False
        except OSError:
            return True
        return True

    def close(self) -> None:
        self.socket.close()

    def __enter__(self) -> Wire:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def anywhere(rng: random.Random) -> str:
    """One of the millions of addresses that this machine has for itself."""
    return f"127.{rng.randrange(1, 255)}.{rng.randrange(1, 255)}.{rng.randrange(1, 255)}"


def wire(
    port: int, kind: bytes, timeout_s: float = 2.0, receive_bytes: int | None = None, source: str | None = None
) -> Wire:
    """A connection that has shaken hands."""
    opened = Wire(port, timeout_s, receive_bytes, source)
    try:
        return opened.shake_hands(kind)
    except OSError:
        opened.close()
        raise
