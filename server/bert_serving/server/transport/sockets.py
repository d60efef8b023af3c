"""Every socket of the server is opened here, the only place that sets socket options. Whoever opens one closes it."""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, suppress
from functools import lru_cache
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import zmq

from bert_serving.client.endpoints import in_url, without_brackets
from bert_serving.client.frames import is_readable, receive_now, send
from bert_serving.client.keys import ClientKeys
from bert_serving.client.wire import MAX_IDENTITY_BYTES
from bert_serving.server.config import ServerConfig
from bert_serving.server.errors import StartError
from bert_serving.server.transport.curve import ZAP_DOMAIN, ServerKeys
from bert_serving.server.transport.run_keys import RunKeys
from bert_serving.server.transport.temporary import temporary_folder

log = logging.getLogger(__name__)

HEARTBEAT_INTERVAL_MS = 5_000
HEARTBEAT_TIMEOUT_MS = 20_000
UNREAD_REQUESTS = 1_000
"""Of each client, until its own socket has to keep them."""
UNSENT_ANSWERS = 1_000
"""For each client, until the sink keeps them itself."""
UNREAD_SUBSCRIPTIONS = 8
"""Of each connection. The library reads all that there is at once, and nobody else gets a turn meanwhile."""
LONGEST_SUBSCRIPTION = MAX_IDENTITY_BYTES + 16
"""Bytes of one as it travels: up to ten before the identity."""
HANDSHAKE_TIMEOUT_MS = 10_000
BURST_S = 0.0005
"""How long messages are taken from one socket before the others get a turn: a flood at one must not hold them up."""
OWN_ADDRESS_S = 10.0
"""For so long it is remembered whether an address is one of this machine's: one may move to another machine."""
PUBLISH_LINGER_MS = 1_000
"""How long answers that are already published may still travel after the sink has ended."""


Socket = zmq.Socket[bytes]


def socket_folder() -> AbstractContextManager[Path]:
    """A private folder for ipc sockets, removed with all that is in it; ZEROMQ_SOCK_TMP_DIR says where."""
    option = "ZEROMQ_SOCK_TMP_DIR"
    return temporary_folder("bert-serving-", "sockets", f"{option}, or TMPDIR,", os.environ.get(option))


def open_requests(context: zmq.Context[Any], config: ServerConfig) -> Socket:
    """The PULL socket that takes requests from clients, before it takes connections (`adopt`)."""
    sock = _open_public(context, zmq.PULL, config)
    sock.setsockopt(zmq.MAXMSGSIZE, config.max_msg_size << 20)
    sock.set_hwm(UNREAD_REQUESTS)
    return sock


def open_results(context: zmq.Context[Any], config: ServerConfig) -> Socket:
    """The XPUB socket that publishes to clients, before it takes connections (`adopt`).

    It is in manual mode: the sink decides what each subscription matches.
    """
    sock = _open_public(context, zmq.XPUB, config)
    sock.setsockopt(zmq.MAXMSGSIZE, LONGEST_SUBSCRIPTION)
    sock.setsockopt(zmq.XPUB_MANUAL, 1)
    sock.setsockopt(zmq.XPUB_NODROP, 1)  # what a slow reader does not take is refused, not dropped
    sock.setsockopt(zmq.SNDHWM, UNSENT_ANSWERS)
    sock.setsockopt(zmq.RCVHWM, UNREAD_SUBSCRIPTIONS)
    sock.setsockopt(zmq.LINGER, PUBLISH_LINGER_MS)
    return sock


def bind_internal(context: zmq.Context[Any], kind: int, folder: Path, name: str, keys: RunKeys) -> tuple[Socket, str]:
    """A socket for our own processes and its address: ipc in `folder`, which must be private to this user.

    Where ipc is refused it is loopback tcp, which everybody on this machine can reach: then with `keys`.
    """
    sock = _open(context, kind)
    try:
        sock.bind(f"ipc://{folder / name}")
    except zmq.ZMQError as error:
        log.warning("no ipc socket can be made in %s (%s): using loopback tcp with keys", folder, error.strerror)
        keys.protect(sock)
        sock.bind("tcp://127.0.0.1:*")
    return sock, sock.getsockopt_string(zmq.LAST_ENDPOINT)


def bind_remote(context: zmq.Context[Any], kind: int, host: str, keys: RunKeys) -> tuple[Socket, str]:
    """A socket that workers on other machines reach at `host`, and its address."""
    sock = _open(context, kind)
    keys.protect(sock)
    _beat(sock)
    try:
        address = in_url(_numeric(without_brackets(host)))
        sock.setsockopt(zmq.IPV6, "[" in address)
        port = sock.bind_to_random_port(f"tcp://{address}")
    except OSError as error:  # zmq.ZMQError is none
        sock.close()
        raise StartError(f"the address {host!r} (-host) is not known: {error}") from None
    except zmq.ZMQError as error:
        sock.close()
        raise StartError(f"no port for remote workers can be opened at {host} (-host): {error}") from None
    return sock, f"tcp://{address}:{port}"


def connect_internal(context: zmq.Context[Any], kind: int, address: str, keys: RunKeys, line: str = "") -> Socket:
    """A socket connected to another of our processes, which knows it by its `line`; with `keys` where that is tcp."""
    sock = _open(context, kind)
    if address.startswith("tcp:"):
        sock.setsockopt(zmq.IPV6, "[" in address)
        keys.present(sock)
        _beat(sock)
    if line:
        sock.setsockopt(zmq.IDENTITY, line.encode())
    sock.connect(address)
    return sock


def push_once(ip: str, port: int, frames: list[bytes], timeout_ms: int, keys: ClientKeys | None) -> bool:
    """Send one message to a server's request port; False if none took it within `timeout_ms`."""
    with zmq.Context() as context, _open(context, zmq.PUSH) as sock:
        if keys is not None:
            keys.present(sock)
        sock.setsockopt(zmq.IMMEDIATE, 1)  # queue nothing for a peer that may never come
        sock.setsockopt(zmq.LINGER, timeout_ms)
        for is_ipv6 in (False, True):  # a name may have both kinds of addresses; the message goes to one
            sock.setsockopt(zmq.IPV6, is_ipv6)
            sock.connect(f"tcp://{in_url(without_brackets(ip))}:{port}")
        if not sock.poll(timeout_ms, zmq.POLLOUT):
            sock.setsockopt(zmq.LINGER, 0)
            return False
        send(sock, frames)
        return True


def _numeric(host: str) -> str:
    """An address of this host: of IPv4 if it has both."""
    found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    return str(min(found, key=lambda one: one[0] != socket.AF_INET)[4][0])


def _open(context: zmq.Context[Any], kind: int) -> Socket:
    sock: Socket = context.socket(kind)
    if kind == zmq.ROUTER:
        sock.setsockopt(zmq.ROUTER_MANDATORY, 1)
        sock.setsockopt(zmq.ROUTER_HANDOVER, 1)  # a child that was restarted takes its predecessor's place
    sock.setsockopt(zmq.LINGER, 0)
    sock.set_hwm(0)  # internal flow is bounded by credit; a silent drop at a mark would lose work
    return sock


def _open_public(context: zmq.Context[Any], kind: int, config: ServerConfig) -> Socket:
    sock = _open(context, kind)
    if config.curve_dir is None:
        sock.zap_domain = ZAP_DOMAIN.encode()
        sock.setsockopt(zmq.ZAP_ENFORCE_DOMAIN, 1)
    else:
        ServerKeys.load(Path(config.curve_dir)).protect(sock)
    sock.setsockopt(zmq.HANDSHAKE_IVL, HANDSHAKE_TIMEOUT_MS)
    _beat(sock)
    return sock


def _beat(sock: Socket) -> None:
    """Let it notice when the other machine is gone."""
    sock.setsockopt(zmq.HEARTBEAT_IVL, HEARTBEAT_INTERVAL_MS)
    sock.setsockopt(zmq.HEARTBEAT_TIMEOUT, HEARTBEAT_TIMEOUT_MS)


def adopt(sock: Socket, descriptor: int) -> None:
    """Take connections from a listening socket that was inherited, where some may wait already.

    So whoever wants to hear of all of them listens to the monitor before.
    """
    sock.setsockopt(zmq.USE_FD, descriptor)
    sock.bind("tcp://127.0.0.1:*")  # for show: the descriptor counts


def burst(sock: Socket) -> Iterator[list[zmq.Frame]]:
    """The messages that are there, but not so many that other sockets would wait long. A poll has told of the first."""
    end_s = time.monotonic() + BURST_S
    while True:
        try:
            yield receive_now(sock)
        except zmq.Again:
            return
        if time.monotonic() >= end_s or not is_readable(sock):
            return


def is_this_machine(address: str) -> bool:
    """Whether an IP address is one of this machine's own. A flood of such questions costs little: answers are kept."""
    return _is_own(address, time.monotonic() // OWN_ADDRESS_S)


@lru_cache(maxsize=256)
def _is_own(address: str, moment: float) -> bool:
    """Asked is by which address this machine would speak to that one, which sends nothing: to itself it is the same.

    That one can bind an address says less: where failover needs it, the kernel lets any be bound (`ip_nonlocal_bind`).
    """
    try:
        wanted = ip_address(address)
        wanted = getattr(wanted, "ipv4_mapped", None) or wanted
        if wanted.is_loopback:
            return True
        family, _, _, _, where = socket.getaddrinfo(str(wanted), 9, flags=socket.AI_NUMERICHOST)[0]
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect(where)
            return ip_address(probe.getsockname()[0]).packed == wanted.packed
    except (OSError, ValueError):
        return False


class Wakeup:
    """Lets other threads wake a poll: `notify` from any thread, `fileno` to poll on, `clear` after it fired."""

    def __init__(self) -> None:
        self._reader, self._writer = socket.socketpair()
        self._reader.setblocking(False)
        self._writer.setblocking(False)
        self._is_pending = False

    def fileno(self) -> int:
        return self._reader.fileno()

    def notify(self) -> None:
        if self._is_pending:  # who was woken looks at everything, this too
            return
        self._is_pending = True
        with suppress(OSError):  # closed: nobody polls any more
            self._writer.send(b"\0")

    def clear(self) -> None:
        """Before looking for work."""
        with suppress(BlockingIOError):
            self._reader.recv(4096)  # all there is: hardly ever more than a byte
        self._is_pending = False

    def close(self) -> None:
        self._reader.close()
        self._writer.close()
