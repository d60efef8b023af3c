"""Ports of this machine that are free now, and that no test beside this one is given."""

from __future__ import annotations

import os
import random
import socket
from collections import deque

_RANGE = range(12_000, 32_000)
"""Below those that the system gives to whoever connects, which may take a port between its choice and its use."""

_number, _of = (
    int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:]),
    int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1")),
)
_own = _RANGE[_number::_of]
"""Each process of pytest has its own."""

_random = random.SystemRandom()  # no test seeds it
_last_given: deque[int] = deque(maxlen=100)
"""Ports that a test may have asked for and not bound yet."""


def free_ports(count: int) -> list[int]:
    """Different ports, and none of those given last."""
    found: list[int] = []
    while len(found) < count:
        port = _random.choice(_own)
        if port not in _last_given and is_free(port):
            found.append(port)
            _last_given.append(port)
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
