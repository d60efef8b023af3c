"""Who is connected to one public socket: bounded in number and in bytes. Thin: `connection_table.py` decides.

The ventilator has one for its PULL socket, the sink one for its XPUB socket. Their loops poll `sockets`, tell each
message that they read (`of`, then `read`), and call `turn`. A connection is known by a serial number, for its
descriptor is used again by another.
"""

from __future__ import annotations

import ctypes
import logging
import os
import resource
import socket
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import zmq

from bert_serving.client.frames import is_readable, receive_now
from bert_serving.server.log import Throttle
from bert_serving.server.transport.connection_table import Bounds, Connection, ConnectionTable
from bert_serving.server.transport.curve import Gate
from bert_serving.server.transport.descriptors import BESIDE_CLIENTS, connections_within_limit
from bert_serving.server.transport.handshakes import Handshakes
from bert_serving.server.transport.sockets import Socket

log = logging.getLogger(__name__)

CHECK_INTERVAL_S = 0.01
"""While anything is unread."""
CALM_INTERVAL_S = 0.05
REVOKE_INTERVAL_S = 1.0
CHECK_SHARE = 0.03
"""Of the time that checks may take, however many connections there are."""
SEEN_AT_ONCE = 200
"""Connections that one turn looks at."""
UNREAD_EVENTS = 50_000
"""Of the monitor; beyond that the library waits, and new connections with it."""
EVENTS_AT_ONCE = 5_000
MOST_UNREAD = 1 << 18
MOST_UNREAD_TOGETHER = 1 << 22
"""Bytes of subscriptions, of one connection and of all: some dozens of the longest identities."""
_SRCFD = int(zmq.SRCFD)
_USER = "User-Id"
"""A property of a message: with keys the sender's key, else the number of its connection's handshake."""
_EVENTS = zmq.EVENT_ACCEPTED | zmq.EVENT_DISCONNECTED
_libc = ctypes.CDLL(None)
_NOWHERE = bytes(16)
"""An address of family AF_UNSPEC: who connects there resets the connection, and what came by it and was not read is
dropped at once, see connect(2)."""
_TCP_INFO = getattr(socket, "TCP_INFO", 11)
_TCP = int(socket.IPPROTO_TCP)
_ACKED_AT, _TCP_INFO_SIZE = 120, 136
"""Where `tcpi_bytes_acked` is in Linux's `struct tcp_info`, with `tcpi_bytes_received` behind it."""
_SENT_RECEIVED = struct.Struct("=QQ")
_info, _info_size = ctypes.create_string_buffer(_TCP_INFO_SIZE), ctypes.c_uint32()
_INFO_AT, _INFO_SIZE_AT = ctypes.addressof(_info), ctypes.addressof(_info_size)
_getsockopt = _libc.getsockopt
_getsockopt.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p]


def most_connections(max_clients: int) -> int:
    """How many there may be at a socket: clones share an identity, and a client may come back before it has gone."""
    return int(max(16, min(2 * max_clients + 64, connections_within_limit(BESIDE_CLIENTS))))


def request_bounds(max_clients: int, max_msg_size: int) -> Bounds:
    """Of the connections to the request port; `max_msg_size` in megabytes."""
    return Bounds(most_connections(max_clients), max_msg_size << 20, 3 * max_msg_size << 19)


def result_bounds(max_clients: int) -> Bounds:
    """Of the connections to the result port, where subscriptions come in alone."""
    return Bounds(most_connections(max_clients), MOST_UNREAD, MOST_UNREAD_TOGETHER, is_read_at_once=True)


class Connections:
    """Of a socket that is not bound yet, to miss none. Who opens it closes it, before the socket.

    `gate` says whose keys count; None without keys.
    """

    def __init__(self, context: zmq.Context[Any], sock: Socket, bounds: Bounds, gate: Gate | None) -> None:
        self._sock = sock
        self._gate = gate
        self._table = ConnectionTable(bounds)
        self._gone: list[int] = []
        self._unseen: list[Connection] = []
        """Of a check that has begun."""
        self._check_at_s = self._spent_s = self._revoked_s = 0.0
        self._refused = Throttle(log, "closed %d connection(s): too many were open, or they sent too much")
        address = f"inproc://monitor-{id(self)}"
        sock.monitor(address, _EVENTS)
        self._monitor: Socket = context.socket(zmq.PAIR)
        self._monitor.setsockopt(zmq.LINGER, 0)
        self._monitor.set_hwm(UNREAD_EVENTS)
        self._monitor.connect(address)
        self._handshakes = Handshakes(context) if gate is None else None
        self._nothing = os.open(os.devnull, os.O_RDONLY)
        self._place = os.dup(self._nothing)

    def __len__(self) -> int:
        return len(self._table)

    def close(self) -> None:
        """Watch no more."""
        self._take_events()  # the library waits for room in the monitor even while it ends
        self._sock.disable_monitor()
        self._monitor.close()
        os.close(self._nothing)
        os.close(self._place)
        if self._handshakes is not None:
            self._handshakes.close()

    @property
    def sockets(self) -> list[Socket]:
        """What tells that a turn is due."""
        return [self._monitor] if self._handshakes is None else [self._monitor, self._handshakes.socket]

    def __enter__(self) -> Connections:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    # -- what the owner tells -----------------------------------------------------------------------------------------

    def of(self, frame: zmq.Frame) -> Connection | None:
        """The connection that a frame came by; None if it has gone, or the frame is the library's own."""
        try:
            fd, user = int(frame.get(_SRCFD)), str(frame.get(_USER))
        except zmq.ZMQError:
            return None
        if self._gate is None:
            return self._table.of(int(user), fd)
        self._take_events()
        one = self._table.get(fd)
        if one is not None and one.user is None:
            one.user = user
        return one if one is None or one.user == user else None

    def may(self, one: Connection) -> bool:
        """Whether its key still counts."""
        return self._gate is None or self._gate.knows(one.user)

    def read(self, one: Connection, size: int, frames: int) -> None:
        """A whole message of so many bytes was read; its content may be anything."""
        self._table.was_read(one, size, frames)

    def in_vain(self, one: Connection) -> None:
        """A message of this one was none that a client sends."""
        if self._table.in_vain(one, time.monotonic()):
            self._end(one)

    def dry(self) -> None:
        """No message waits to be read: the last attempt found none."""
        self._table.dry()

    def turn(self, now_s: float, owned: int = 0, *, has_news: bool = True) -> list[int]:
        """Hear who came and went, and look at all when it is time; returns the serial numbers of those that have gone.

        `owned`: bytes of this process that its owner accounts for in another way, as its queue. `has_news`: whether
        one of `sockets` has something to read.
        """
        if has_news:
            self._take_events()
            if self._handshakes is not None:
                self._handshakes.answer(self._let_through)
        if self._gate is not None and now_s >= self._revoked_s + REVOKE_INTERVAL_S:
            self._revoked_s = now_s
            self._revoke(self._gate)
        if self._unseen or (len(self._table) and now_s >= self._check_at_s):
            self._check_some(now_s, owned)
        if not self._gone:
            return []
        gone, self._gone = self._gone, []
        return gone

    @property
    def next_s(self) -> float:
        """When a turn is due, if nothing happens before."""
        if self._unseen:
            return 0.0
        return self._check_at_s if len(self._table) else float("inf")

    def _revoke(self, gate: Gate) -> None:
        """Hang up on those whose key may come no more. Who has sent nothing is judged when it does."""
        gate.refresh()
        for one in self._table.revoke({one.serial for one in self._table if one.user and not gate.knows(one.user)}):
            self._end(one)

    def hang_up(self, one: Connection) -> None:
        """End this connection for what it did, and take no new ones from its address for a moment."""
        for other in self._table.harm(one, time.monotonic()):
            self._end(other)

    def _end(self, one: Connection) -> None:
        """This one, and no other that has its descriptor by now."""
        self._refused.count(1, time.monotonic())
        with suppress(OSError), self._held(one.fd) as same:
            if same.getpeername() == one.peer and _libc.connect(same.fileno(), _NOWHERE, len(_NOWHERE)):
                same.shutdown(socket.SHUT_RDWR)  # no Linux: the library still reads what the kernel has

    @contextmanager
    def _held(self, fd: int) -> Iterator[socket.socket]:
        """The connection that has this descriptor now, which no other can have meanwhile. Raises OSError.

        It takes the place of a file that is open all the time: where no more may be opened connections are to be ended.
        """
        os.dup2(fd, self._place, inheritable=False)
        try:
            same = socket.socket(fileno=self._place)
            try:
                yield same
            finally:
                same.detach()
        finally:
            os.dup2(self._nothing, self._place, inheritable=False)

    # -- what the library and the kernel tell -------------------------------------------------------------------------

    def _let_through(self, address: str) -> int | None:
        """The number of a handshake with this address; None if it has to wait."""
        # its own, too, however many there are: what is known by then has no handshake of a higher number
        self._take_events(UNREAD_EVENTS)
        return self._table.let_through() if self._table.is_welcome(address) else None

    def _take_events(self, most: int = EVENTS_AT_ONCE) -> None:
        """Hear who came and who went."""
        for _ in range(most):
            if not is_readable(self._monitor):
                return
            event, fd = struct.unpack("=Hi", receive_now(self._monitor)[0].bytes)
            if event == zmq.EVENT_ACCEPTED:
                self._on_accepted(fd)
            elif (one := self._table.gone(fd, time.monotonic())) is not None:
                self._gone.append(one.serial)

    def _on_accepted(self, fd: int) -> None:
        if (before := self._table.gone(fd, time.monotonic())) is not None:  # its end was not told
            self._gone.append(before.serial)
        peer = None
        with suppress(OSError), self._held(fd) as same:  # else it has gone already
            peer = same.getpeername()
        if (surplus := self._table.accepted(fd, peer, time.monotonic())) is not None:
            self._end(surplus)

    def _check_some(self, now_s: float, owned: int) -> None:
        """Look at some connections, or at the last of all, and then hang up on whom it has to be."""
        begin_s = time.monotonic()
        if not self._unseen:
            self._unseen = list(self._table)
        for _ in range(min(SEEN_AT_ONCE, len(self._unseen))):
            one = self._unseen.pop()
            try:
                received, sent = _bytes_of(one.fd)
            except OSError:  # closed; the monitor tells soon
                continue
            self._table.seen(one, received, sent, now_s)
        if not self._unseen:
            for one in self._table.judge(now_s, _memory(), owned):
                self._end(one)
            wait_s = max(CALM_INTERVAL_S if self._table.is_calm else CHECK_INTERVAL_S, self._spent_s / CHECK_SHARE)
            self._check_at_s, self._spent_s = now_s + wait_s, 0.0
        self._spent_s += time.monotonic() - begin_s


def _bytes_of(fd: int) -> tuple[int, int]:
    """How many bytes came by a connection, and how many the other side has taken. Raises OSError."""
    _info_size.value = _TCP_INFO_SIZE
    # without a socket object, which would take half as long again: some times a second each connection is asked
    if _getsockopt(fd, _TCP, _TCP_INFO, _INFO_AT, _INFO_SIZE_AT):
        raise OSError("there is no such connection")
    if _info_size.value < _TCP_INFO_SIZE:
        return 0, 0
    sent, received = _SENT_RECEIVED.unpack_from(_info, _ACKED_AT)
    return received, sent


def _memory() -> int:
    """Bytes that this process holds."""
    try:
        with open("/proc/self/statm") as statm:
            return int(statm.read().split()[1]) * resource.getpagesize()
    except OSError:  # no Linux
        return 0
