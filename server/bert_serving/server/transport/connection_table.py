"""The connections of one public socket, as far as their bytes and their number go. Pure; `connections.py`
tells it what happens, and does what it decides.

The library below bounds a frame, and neither a message of many frames nor the number of connections. So whose bytes
have come (the kernel counts them) is set against what was read of them as messages: the rest is unread, or part of a
message that never ends. Who goes beyond the bounds is hung up on, alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count

from bert_serving.server.transport.penalties import Penalties

FRAME_OVERHEAD = 48
"""Bytes of a frame on the wire besides its content, at most: header, and with keys nonce, code and flags."""
HEARTBEATS_PER_S = 32
"""Bytes at most that an idle connection receives, which are in no message: heartbeats both ways, with keys."""
SUSPICIOUS = 1 << 20
"""Bytes unread from which on a connection, or all together, are watched."""
LARGE = 1 << 16
"""Bytes of a message that is not a usual one."""
SILENT_S = 10.0
"""How long a connection may say nothing at all before another may take its place when there are too many."""
SLACK = 1 << 12
"""Bytes of a greeting and a handshake."""
MEMORY_FACTOR = 3
MEMORY_SLACK = 64 << 20
"""The process may grow by so many times what is unread and was just read, and this many bytes."""


@dataclass(frozen=True)
class Bounds:
    """`message` bytes unfinished or, with `is_read_at_once`, unread of one connection; `together` of all of them.

    `is_read_at_once`: what comes is small and read as it comes, so there is no need to wait until it is known whether
    a message is unfinished or only waits to be read.
    """

    connections: int
    message: int
    together: int
    is_read_at_once: bool = False


@dataclass(slots=True)
class Connection:
    """`serial` is never used again, as the descriptor is. `peer` is the other end's address.

    `handshakes_before`: how many handshakes had been let through when it came, so its own has a higher number.
    """

    serial: int
    fd: int
    peer: object
    since_s: float
    handshakes_before: int = 0
    handshake: int | None = None
    """Its own, once a message has shown it."""
    user: str | None = None
    received: int = 0
    read: int = 0
    counted_s: float = 0.0
    """When `read` was last set against `received`."""
    begun_s: float | None = None
    """Since when it has a suspicious amount unread."""
    mark: tuple[int, int] | None = None
    """What was unread, and how many messages had been read of all, when it was looked at first since its last one."""
    unfinished: int = 0
    sent: int = 0
    sent_s: float = 0.0
    """When it was last seen to take bytes from us."""
    is_silent: bool = True
    is_going: bool = False

    @property
    def address(self) -> str:
        """Of the other end, without the port; empty if it had gone before anybody could ask."""
        return str(self.peer[0]) if isinstance(self.peer, tuple) else ""

    def unread(self, now_s: float) -> int:
        """Bytes that came and were in no message so far, without heartbeats."""
        return max(0, self.received - self.read - SLACK - int(HEARTBEATS_PER_S * (now_s - self.counted_s)))


@dataclass(slots=True)
class ConnectionTable:
    """Which there are. `judge` and `accepted` return whom to hang up on, each once."""

    bounds: Bounds
    _by_fd: dict[int, Connection] = field(default_factory=dict)
    _silent: dict[int, Connection] = field(default_factory=dict)
    _ending: set[int] = field(default_factory=set)
    """Descriptors of those that were hung up on, until they are closed."""
    _serials: Iterator[int] = field(default_factory=lambda: count(1))
    _by_handshake: dict[int, Connection] = field(default_factory=dict)
    _handshakes: int = 0
    _messages: int = 0
    _dry_at: int = -1
    """How many messages had been read when there was none left."""
    _quiet_memory: int | None = None
    _read_since: int = 0
    _penalties: Penalties = field(default_factory=Penalties)
    is_calm: bool = True
    """Whether nobody had anything unread when they were judged last."""

    def __len__(self) -> int:
        return len(self._by_fd)

    def __iter__(self) -> Iterator[Connection]:
        return iter(self._by_fd.values())

    def get(self, fd: int) -> Connection | None:
        """The one that has this descriptor now."""
        return self._by_fd.get(fd)

    def accepted(self, fd: int, peer: object, now_s: float) -> Connection | None:
        """Another one came; returns whom to hang up on to keep the number."""
        new = Connection(next(self._serials), fd, peer, now_s, self._handshakes, counted_s=now_s, sent_s=now_s)
        self._by_fd[fd] = self._silent[fd] = new
        self._penalties.expire(now_s)
        if not self.is_welcome(new.address):
            return self.going(new)
        if len(self._by_fd) - len(self._ending) <= self.bounds.connections:
            return None
        oldest = next((one for one in self._silent.values() if not one.is_going), new)
        return self.going(oldest if oldest.since_s + SILENT_S <= now_s else new)

    def is_welcome(self, address: str) -> bool:
        """Whether new connections from there are taken."""
        return address not in self._penalties

    def let_through(self) -> int:
        """Another handshake may end; returns its number, which the messages of its connection carry."""
        self._handshakes += 1
        return self._handshakes

    def of(self, handshake: int, fd: int) -> Connection | None:
        """The connection that had this handshake and this descriptor; None if it has gone.

        Its messages may wait long after its end, when another connection has its descriptor.
        """
        one = self._by_handshake.get(handshake)
        if one is None and (one := self._by_fd.get(fd)) is not None:
            if one.handshake is not None or handshake <= one.handshakes_before:
                return None
            one.handshake = handshake
            self._by_handshake[handshake] = one
        return one

    def gone(self, fd: int, now_s: float) -> Connection | None:
        """It is closed; returns which one it was."""
        self._silent.pop(fd, None)
        self._ending.discard(fd)
        one = self._by_fd.pop(fd, None)
        if one is not None and one.handshake is not None:
            del self._by_handshake[one.handshake]
        if one is not None and one.is_silent and not one.is_going:
            self._penalties.in_vain(one.address, now_s)
        return one

    def in_vain(self, one: Connection, now_s: float) -> bool:
        """A message of it was none that a client sends; returns whether to hang up on it, for it was one too many."""
        if one.is_going or not self._penalties.in_vain(one.address, now_s):
            return False
        self.going(one)
        return True

    def harm(self, one: Connection, now_s: float) -> list[Connection]:
        """It is hung up on for what no client does: others from its address have to wait for a while.

        With it go those from there that are sending their first message, if it is large: most likely it is the same.
        """
        alike: list[Connection] = []
        if one.address and self.is_welcome(one.address):  # else they have gone already
            near = (other for other in self._silent.values() if other.address == one.address)
            alike = [other for other in near if other.unread(now_s) > LARGE]
        self._penalties.harm(one.address, now_s)
        return [self.going(other) for other in (one, *alike) if not other.is_going]

    def was_read(self, one: Connection, size: int, frames: int) -> None:
        """A whole message of it was read."""
        self._messages += 1
        self._read_since += size
        one.read += size + FRAME_OVERHEAD * frames
        one.mark, one.begun_s, one.unfinished = None, None, 0
        if one.is_silent:
            one.is_silent = False
            self._silent.pop(one.fd, None)

    def dry(self) -> None:
        """No message waits to be read."""
        self._dry_at = self._messages

    def seen(self, one: Connection, received: int, sent: int, now_s: float) -> None:
        """So many bytes came by it and were taken by it, as the kernel counts."""
        one.received = received
        if sent != one.sent:
            one.sent, one.sent_s = sent, now_s
        if one.read >= received - SLACK:
            one.read, one.counted_s = min(one.read, received), now_s
        unread = one.unread(now_s)
        one.begun_s = (one.begun_s or now_s) if unread > SUSPICIOUS else None
        if self.bounds.is_read_at_once:
            one.unfinished = unread
        elif one.mark is None:
            one.mark = unread, self._messages
        else:
            was, at = one.mark
            # Messages are read in turn: if it had one complete, it would have been read by now.
            if self._dry_at >= at or self._messages >= at + len(self._by_fd):
                one.unfinished, one.mark = was, (unread, self._messages)

    def judge(self, now_s: float, memory: int, owned: int = 0) -> list[Connection]:
        """Whom to hang up on. `memory` is what the process holds, `owned` what its owner accounts for by itself."""
        behind = [(one, size) for one in self if (size := one.unread(now_s))]
        self.is_calm = not behind
        unread = {one.serial: size for one, size in behind if not one.is_going}
        rest = sorted((one for one, _ in behind if one.serial in unread), key=lambda one: one.begun_s or now_s)
        out = [one for one in rest if one.unfinished > self.bounds.message]
        out += self._beyond_all([one for one in rest if one not in out], unread)
        if not out and (one := self._cause_of_growth(rest, sum(unread.values()), memory - owned)):
            return self.harm(one, now_s)
        for one in out:
            self._penalties.harm(one.address, now_s)
        return [self.going(one) for one in out]

    def _beyond_all(self, rest: list[Connection], unread: dict[int, int]) -> list[Connection]:
        """Those that have to go until the rest are within the bound for all: first who is in progress the longest."""
        out: list[Connection] = []
        together = sum(unread[one.serial] for one in rest)
        while together > self.bounds.together:
            first = next((one for one in rest if one.unfinished > min(SUSPICIOUS, self.bounds.message // 4)), None)
            if first is None:  # what is there may only wait to be read
                if together <= 2 * self.bounds.together:
                    break
                first = max(rest, key=lambda one: unread[one.serial])
            rest.remove(first)
            out.append(first)
            together -= unread[first.serial]
        return out

    def _cause_of_growth(self, rest: list[Connection], unread: int, memory: int) -> Connection | None:
        """Whom to hang up on if the process grew by more than the bytes that came explain.

        Of a message of endless frames the library keeps 64 bytes and more for each, though it has two.
        """
        if unread <= SUSPICIOUS or self._quiet_memory is None:
            self._quiet_memory, self._read_since = memory, 0
            return None
        explained = unread + min(self._read_since, self.bounds.message)
        if memory - self._quiet_memory <= MEMORY_FACTOR * explained + MEMORY_SLACK:
            return None
        self._quiet_memory = None  # start over: what is freed need not go back to the machine
        return next(iter(rest), None)

    def revoke(self, serials: set[int]) -> list[Connection]:
        """Those may be here no more."""
        return [self.going(one) for one in self if one.serial in serials and not one.is_going]

    def going(self, one: Connection) -> Connection:
        """It is hung up on, for whatever reason."""
        one.is_going = True
        self._ending.add(one.fd)
        return one
