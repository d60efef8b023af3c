"""A TCP proxy in front of the result port that can hold subscriptions back, and keep dead ones alive at the server."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress


class SubscriptionGate:
    """Forwards a free port of this machine to `target`. While it is shut, subscriptions to `identity` wait at it."""

    def __init__(self, target: int, identity: bytes) -> None:
        self._target = target
        self._identity = identity
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._is_open = threading.Event()
        self._is_open.set()
        self._near: list[socket.socket] = []
        self._far: list[socket.socket] = []
        self._lost: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def shut(self) -> None:
        self._is_open.clear()

    def lose_clients(self) -> None:
        """The clients' connections end, and the server takes them for whole."""
        near, self._near = self._near, []
        self._lost, self._far = self._far, []
        _shut_down(near)

    def open(self) -> None:
        """Let subscriptions through, and tell the server which connections are lost."""
        _shut_down(self._lost)
        self._is_open.set()

    def close(self) -> None:
        self._listener.close()
        _shut_down(self._near + self._far + self._lost)
        self._is_open.set()

    def _accept(self) -> None:
        with suppress(OSError):  # closed
            while True:
                near, _ = self._listener.accept()
                far = socket.create_connection(("127.0.0.1", self._target))
                self._near.append(near)
                self._far.append(far)
                threading.Thread(target=self._to_server, args=(near, far), daemon=True).start()
                threading.Thread(target=self._to_client, args=(far, near), daemon=True).start()

    def _to_server(self, near: socket.socket, far: socket.socket) -> None:
        with suppress(OSError), near:
            while content := near.recv(1 << 16):
                if self._identity in content:
                    self._is_open.wait()
                far.sendall(content)

    def _to_client(self, far: socket.socket, near: socket.socket) -> None:
        with suppress(OSError), far:
            while content := far.recv(1 << 16):
                with suppress(OSError):  # lost: what the server sends goes into the void
                    near.sendall(content)


def _shut_down(socks: list[socket.socket]) -> None:
    for sock in socks:
        with suppress(OSError):
            sock.shutdown(socket.SHUT_RDWR)
