"""What strangers do below libzmq: half handshakes, endless messages, thousands of subscriptions, odd commands."""

from __future__ import annotations

import random
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress

from hostile import messages
from zmtp import MORE, Wire, anywhere, cancellation, command, frame, greeting, message, ping, ready, subscription, wire

MOST_HELD = 300
"""Half handshakes that stay open at once; the oldest goes first."""
SUBSCRIPTIONS = 1_000
MOST_PARTS = 200
LONGEST_PART = 4_096
Onslaught = Callable[["Stranger"], int]
"""Sends something; returns how many frames, a handshake being one."""


class Stranger:
    """One who knows the two ports, and has another address each time: one alone would soon be let in no more."""

    def __init__(self, ports: list[int], seed: int) -> None:
        self.port, self.port_out = ports
        self.rng = random.Random(seed)
        self.stream = messages(self.rng)
        self._held: deque[Wire] = deque()

    def wire(self, port: int, kind: bytes) -> Wire:
        return wire(port, kind, source=anywhere(self.rng))

    def hold(self, opened: Wire) -> None:
        """Keep it open for a while."""
        self._held.append(opened)
        if len(self._held) > MOST_HELD:
            self._held.popleft().close()

    def close(self) -> None:
        for opened in self._held:
            opened.close()


def half_a_handshake(stranger: Stranger) -> int:
    """Stops somewhere in greeting or READY, and stays."""
    port, kind = stranger.rng.choice([(stranger.port, b"PUSH"), (stranger.port_out, b"SUB")])
    whole = greeting(stranger.rng.randrange(2)) + ready(kind)
    opened = Wire(port, source=anywhere(stranger.rng))
    stranger.hold(opened)
    opened.send(whole[: stranger.rng.randrange(len(whole))])
    return 1


def message_without_end(stranger: Stranger) -> int:
    """Frames with MORE, and then the connection is gone."""
    number = stranger.rng.randrange(1, MOST_PARTS)
    with stranger.wire(stranger.port, b"PUSH") as opened:
        parts = (stranger.rng.randbytes(stranger.rng.randrange(LONGEST_PART)) for _ in range(number))
        opened.send(b"".join(frame(part, MORE) for part in parts))
    return number


def subscriptions_by_the_thousand(stranger: Stranger) -> int:
    """Of which half are taken back, some twice, and some that were never there."""
    names = [stranger.rng.randbytes(stranger.rng.randrange(1, 60)) for _ in range(SUBSCRIPTIONS)]
    with stranger.wire(stranger.port_out, b"SUB") as opened:
        opened.send(b"".join(map(subscription, names)))
        opened.send(b"".join(map(cancellation, names[::2] + names[::4] + [name + b"?" for name in names[::4]])))
    return 2 * SUBSCRIPTIONS


def flood_of_pings(stranger: Stranger) -> int:
    number = stranger.rng.randrange(1, MOST_PARTS)
    port, kind = stranger.rng.choice([(stranger.port, b"PUSH"), (stranger.port_out, b"SUB")])
    with stranger.wire(port, kind) as opened:
        opened.send(ping(stranger.rng.randbytes(16)) * number)
    return number


def odd_commands(stranger: Stranger) -> int:
    port, kind = stranger.rng.choice([(stranger.port, b"PUSH"), (stranger.port_out, b"SUB")])
    with stranger.wire(port, kind) as opened:
        name = stranger.rng.choice([b"NOTHING", b"PONG", b"ERROR", b"READY", b"SUBSCRIBE", b"PING"])
        opened.send(command(name, stranger.rng.randbytes(stranger.rng.randrange(300))))
    return 1


def hostile_requests(stranger: Stranger) -> int:
    """As `hostile` has them, and what belongs to the other port."""
    number = stranger.rng.randrange(1, MOST_PARTS)
    with stranger.wire(stranger.rng.choice([stranger.port] * 9 + [stranger.port_out]), b"PUSH") as opened:
        opened.send(b"".join(message(next(stranger.stream)) for _ in range(number)))
    return number


ONSLAUGHTS: list[Onslaught] = [
    half_a_handshake,
    half_a_handshake,
    message_without_end,
    subscriptions_by_the_thousand,
    flood_of_pings,
    odd_commands,
    hostile_requests,
    hostile_requests,
]


def attack(ports: list[int], number: int, seed: int, per_second: float) -> None:
    """Send so many frames at that pace, of one kind after the other; what the server refuses counts, too."""
    stranger = Stranger(ports, seed)
    begin_s, count = time.monotonic(), 0
    try:
        while count < number:
            onslaught = stranger.rng.choice(ONSLAUGHTS)
            with suppress(OSError):
                count += onslaught(stranger)
            count += 1
            time.sleep(max(0.0, begin_s + count / per_second - time.monotonic()))
    finally:
        stranger.close()
