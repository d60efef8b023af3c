"""Ports of this machine that are free now."""

from __future__ import annotations

import socket
from collections import deque
from contextlib import ExitStack

_last_given: deque[int] = deque(maxlen=100)
"""Ports that a test may have asked for and not bound yet."""


def free_ports(count: int) -> list[int]:
    """Different ports, and none of those given last."""
    found: list[int] = []
    with ExitStack() as held:
        while len(found) < count:
            sock = held.enter_context(socket.socket())
            sock.bind(("127.0.0.1", 0))
            if (port := sock.getsockname()[1]) not in _last_given:
                found.append(port)
    _last_given.extend(found)
    return found


def is_free(port: int) -> bool:
    """Whether a server could bind it, as libzmq binds."""
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind(("0.0.0.0", port))
        except OSError:
            return False
        return True
