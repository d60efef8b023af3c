"""The listening sockets of the service, which outlive the processes that accept connections on them.

The supervisor opens them and accepts nothing; ventilator, sink and gateway get their descriptors. While one of these is
started again its port stays taken, and clients wait in the kernel's queue.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

from bert_serving.client.endpoints import without_brackets
from bert_serving.server.config import ServerConfig
from bert_serving.server.errors import StartError

WAITING_CONNECTIONS = 2_048
"""In the kernel's queue; it may have a lower limit of its own."""

_HERE = {"*": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1", "[::]": "::1"}
"""The addresses that mean every interface, and where a process of this machine reaches who listens there."""


def is_every_host(host: str) -> bool:
    """Whether who listens on it can be reached at each address of this machine."""
    return host in _HERE


def host_here(host: str) -> str:
    """Where a process of this machine reaches who listens on `host`."""
    return _HERE.get(host, host)


@dataclass(frozen=True)
class Listeners:
    """The socket for requests, that for results, and that for HTTP if there is any."""

    requests: socket.socket
    results: socket.socket
    http: socket.socket | None


@contextmanager
def open_listeners(config: ServerConfig) -> Iterator[Listeners]:
    """Listen on all ports; closed at the end of the block. StartError names the port that cannot be had."""
    with ExitStack() as opened:
        requests, results = (
            opened.enter_context(listen(config.host, port, option, "-host"))
            for port, option in ((config.port, "-port"), (config.port_out, "-port_out"))
        )
        http = None
        if config.http_port is not None:
            http = opened.enter_context(listen(config.http_host, config.http_port, "-http_port", "-http_host"))
        yield Listeners(requests, results, http)


def listen(host: str, port: int, option: str, host_option: str) -> socket.socket:
    """A socket that listens there, in the names of the options that say where. StartError if it cannot be had."""
    try:
        family, address = _address("0.0.0.0" if host == "*" else host, port)
    except OSError as error:
        raise StartError(f"the address {host!r} ({host_option}) is not known: {error}") from None
    # asyncio turns Nagle's algorithm off only where the protocol is named: without it an answer takes 40 ms more
    try:
        sock = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    except OSError as error:
        raise StartError(f"this machine has no IPv6, which {host!r} ({host_option}) needs: {error}") from None
    try:
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)  # :: takes those who come by IPv4, too
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(address)
        sock.listen(WAITING_CONNECTIONS)
        sock.setblocking(False)  # whoever accepts must never wait for one that has gone meanwhile
    except OSError as error:
        sock.close()
        if error.errno == errno.EADDRINUSE:
            where = f"port {port} ({option})"
            raise StartError(f"{where} is in use: stop what listens there or choose another") from None
        raise StartError(f"port {port} ({option}) cannot be opened on {host} ({host_option}): {error}") from None
    return sock


def _address(host: str, port: int) -> tuple[int, Any]:
    """The family of a host's address, and the address for `bind`: of IPv4 if a name has both."""
    found = socket.getaddrinfo(without_brackets(host), port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    family, _, _, _, address = min(found, key=lambda one: one[0] != socket.AF_INET)
    return family, address
