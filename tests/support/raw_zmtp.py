"""A connection of raw ZMTP 3.0 without keys: what no library would send."""

from __future__ import annotations

import socket
from contextlib import suppress

_GREETING = b"\xff" + bytes(8) + b"\x7f\x03\x00" + b"NULL".ljust(20, b"\0") + bytes(32)
_MORE, _LONG = 1, 2


class RawZmtp:
    """Connected and greeted; `kind` is what it says to be, as SUB or PUSH."""

    def __init__(self, port: int, kind: bytes) -> None:
        self.sock = socket.create_connection(("127.0.0.1", port), timeout=30)
        self.sock.sendall(handshake(kind))
        self._read(len(_GREETING))
        self._read(self._read(2)[1])  # nothing may be sent before the other side is ready

    def _read(self, size: int) -> bytes:
        content = b""
        while len(content) < size:
            content += self.sock.recv(size - len(content)) or _ended()
        return content

    def subscribe(self, *names: bytes) -> None:
        self.sock.sendall(b"".join(frame(b"\1" + name) for name in names))

    def unsubscribe(self, *names: bytes) -> None:
        self.sock.sendall(b"".join(frame(b"\0" + name) for name in names))

    def begin(self, *frames: bytes) -> None:
        """Send frames of a message whose last one never comes."""
        self.sock.sendall(b"".join(frame(content, is_last=False) for content in frames))

    def is_hung_up_on(self, timeout_s: float = 30) -> bool:
        """Whether the other side has ended it, or does within that time."""
        self.sock.settimeout(timeout_s)
        try:
            while self.sock.recv(1 << 16):
                pass
        except TimeoutError:
            return False
        except OSError:
            return True
        return True

    def close(self) -> None:
        with suppress(OSError):
            self.sock.close()

    def __enter__(self) -> RawZmtp:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def _ended() -> bytes:
    raise ConnectionError("the other side ended the handshake")


def handshake(kind: bytes) -> bytes:
    """All that one side says before its first message."""
    ready = b"\x05READY\x0bSocket-Type" + len(kind).to_bytes(4, "big") + kind
    return _GREETING + b"\x04" + bytes([len(ready)]) + ready


def frame(content: bytes, *, is_last: bool = True) -> bytes:
    """As it goes over the wire."""
    flags = 0 if is_last else _MORE
    if len(content) < 256:
        return bytes([flags, len(content)]) + content
    return bytes([flags | _LONG]) + len(content).to_bytes(8, "big") + content
