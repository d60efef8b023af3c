"""Connections that say nothing, half of it, or nonsense; by the hundred and thousand."""

from __future__ import annotations

import random
import socket
import struct
import time
from contextlib import ExitStack, suppress

from hostile import NO_ZMTP
from zmtp import COMMAND, MORE, Wire, command, frame, greeting, message, ping, ready, subscription, wire

from strangers.attack import IDENTITY, Attack, Catalogue, Target, Turns

_catalogue = Catalogue()
ATTACKS: dict[str, Attack] = _catalogue.attacks


def doors(target: Target) -> list[tuple[int, bytes]]:
    """Both ports, and what connects to them."""
    return [(target.port, b"PUSH"), (target.port_out, b"SUB")]


@_catalogue.of()
def control(target: Target, turns: Turns) -> list[str]:
    """No attack: a process that only computes, by which the others can be judged."""
    for _ in turns:
        sum(range(10_000))
    return []


@_catalogue.of()
def connections_that_come_and_go(target: Target, turns: Turns) -> list[str]:
    """By the hundred a second, with a handshake or without, in order or by a reset."""
    for turn in turns:
        port, kind = doors(target)[turn % 2]
        with suppress(OSError), Wire(port) as opened:
            if turn % 3:
                opened.shake_hands(kind)
            if turn % 5 == 0:
                opened.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # a reset
    return []


@_catalogue.of()
def half_handshakes(target: Target, turns: Turns) -> list[str]:
    """2,000 at once, each of which stops somewhere in the greeting or in READY, and stays."""
    with ExitStack() as opened:
        for turn in turns:
            if turn >= 2_000:
                break
            port, kind = doors(target)[turn % 2]
            whole = greeting(turn % 2) + ready(kind)
            with suppress(OSError):
                opened.enter_context(Wire(port)).send(whole[: turn % len(whole)])
        turns.hold()
    return []


@_catalogue.of()
def bytes_that_are_no_zmtp(target: Target, turns: Turns) -> list[str]:
    rng = random.Random(5)
    for turn in turns:
        port, _ = doors(target)[turn % 2]
        with suppress(OSError), Wire(port) as opened:
            opened.send(rng.choice([*NO_ZMTP, rng.randbytes(500), greeting()[:-1] + b"\xff" * 100, b"\xff" * 1000]))
    return []


@_catalogue.of()
def floods_of_ping(target: Target, turns: Turns) -> list[str]:
    """Whose answers nobody reads, on both ports."""
    with ExitStack() as opened:
        wires = [opened.enter_context(wire(port, kind, timeout_s=0.2)) for port, kind in doors(target)]
        pings = ping(b"0123456789abcdef", ttl=1) * 1_000
        for _ in turns:
            for flooded in wires:
                with suppress(OSError):
                    flooded.send(pings)
    return []


@_catalogue.of()
def handshakes_that_lie(target: Target, turns: Turns) -> list[str]:
    """Wrong socket types, identities of 1 MB, properties without end, commands that there are none of."""
    rng = random.Random(6)
    for turn in turns:
        port, kind = doors(target)[turn % 2]
        said = [
            ready(rng.choice([b"REQ", b"ROUTER", b"", b"\0" * 255])),
            ready(kind, Identity=b"x" * (1 << 20)),
            ready(kind, Identity=b"\0worker-0"),
            command(b"READY", b"\xff" * 1_000),
            command(b"ERROR", b"\xff"),
            ready(kind) * 50,
            frame(b"", COMMAND | MORE),
            ready(kind, **{f"p{number}": b"v" * 100 for number in range(5_000)}),
        ]
        with suppress(OSError), Wire(port, 0.5) as opened:
            opened.send(greeting(turn % 3) + rng.choice(said))
            opened.send(message([b"a"]) * 10)
    return []


@_catalogue.of()
def commands_that_are_none(target: Target, turns: Turns) -> list[str]:
    """After a good handshake: unknown ones, PING with long contexts, PONG, commands with MORE."""
    odd = [command(b"NOTHING", b"x" * 100), ping(b"c" * 5_000), command(b"PONG"), frame(b"\4PING", COMMAND | MORE)]
    odd += [frame(b"", COMMAND), frame(b"\xff", COMMAND), command(b"SUBSCRIBE", b"x" * 5_000), command(b"CANCEL")]
    for turn in turns:
        port, kind = doors(target)[turn % 2]
        with suppress(OSError), wire(port, kind) as opened:
            opened.send(odd[turn % len(odd)] * 20)
    return []


@_catalogue.of()
def subscribers_at_the_request_port(target: Target, turns: Turns) -> list[str]:
    """And requests at the result port: each port gets what the other expects."""
    for _ in turns:
        with suppress(OSError), wire(target.port_out, b"SUB") as results:
            results.send(message([IDENTITY, b'["a"]', b"1", b"1"]) * 100 + message([b"\1a", b"\1b", b"\0a"]) * 100)
        with suppress(OSError), wire(target.port, b"PUSH") as requests:
            requests.send(subscription(IDENTITY) * 100 + ping() * 100)
    return []


@_catalogue.of(most_descriptors=256, kills="worker-0", row=10)
def descriptors_all_taken(target: Target, turns: Turns) -> list[str]:
    """300 connections to each port of a service that may open 256 files, and meanwhile a worker dies."""
    with ExitStack() as opened:
        for turn in turns:
            if turn >= 600:
                break
            port, kind = doors(target)[turn % 2]
            with suppress(OSError):
                opened.enter_context(Wire(port, 0.2)).send(greeting() + ready(kind))
        turns.hold()
    return []


@_catalogue.of()
def connections_1500_that_are_idle(target: Target, turns: Turns) -> list[str]:
    """With whole handshakes, by which libzmq keeps beating hearts; none ever answers."""
    with ExitStack() as opened:
        for turn in turns:
            if turn >= 1_500:
                break
            port, kind = doors(target)[turn % 2]
            with suppress(OSError):
                opened.enter_context(wire(port, kind))
        time.sleep(turns.left_s)
    return []
