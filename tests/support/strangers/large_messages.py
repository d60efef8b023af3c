"""Messages that take far more memory than their bytes, or whose bytes never end."""

from __future__ import annotations

import time
from contextlib import ExitStack, suppress

from zmtp import MORE, Wire, frame, header, message, wire

from strangers.attack import Attack, Catalogue, Target, Turns, request

MB = 10**6
CHUNK = 1 << 20
PATIENCE_S = 10.0
MAX_MSG_MB = 256
"""The default of -max_msg_size: so much of a message the service may hold."""
_catalogue = Catalogue()
ATTACKS: dict[str, Attack] = _catalogue.attacks


def send_large(target: Target, turns: Turns, content: bytes, count: int = 1) -> list[str]:
    """Such a message again and again, each by a connection of its own."""
    for turn in turns:
        with suppress(OSError), wire(target.port, b"PUSH", timeout_s=PATIENCE_S) as requests:
            requests.send(message(request(content, count, request_id=turn)))
        time.sleep(0.2)
    return []


@_catalogue.of(row=6, message_mb=100)
def brackets_of_100_mb(target: Target, turns: Turns) -> list[str]:
    """Each three bytes are an object once they are parsed."""
    return send_large(target, turns, b"[" + b"[]," * (100 * MB // 3) + b"[]]")


@_catalogue.of(message_mb=60)
def objects_of_60_mb(target: Target, turns: Turns) -> list[str]:
    return send_large(target, turns, b"[" + b'{"a":{}},' * (60 * MB // 9) + b"{}]")


@_catalogue.of(message_mb=40)
def two_letter_texts_of_40_mb(target: Target, turns: Turns) -> list[str]:
    """An honest form, with a wrong count, so that nothing of it is computed."""
    return send_large(target, turns, b"[" + b'"ab",' * (40 * MB // 5) + b'"ab"]')


@_catalogue.of(message_mb=60)
def numbers_of_60_mb(target: Target, turns: Turns) -> list[str]:
    return send_large(target, turns, b"[[" + b"1000," * (60 * MB // 5) + b"1]]", count=2)


@_catalogue.of(message_mb=60)
def escapes_of_60_mb(target: Target, turns: Turns) -> list[str]:
    r"""One text of \u0000 and one character that makes all of them four bytes wide."""
    return send_large(target, turns, b'["' + rb"\ud83d\ude00\u0041\u0041" * (60 * MB // 24) + b'"]', count=2)


@_catalogue.of(message_mb=20)
def keys_of_20_mb(target: Target, turns: Turns) -> list[str]:
    """As options: a million names, no two alike."""
    names = b",".join(b'"%d":0' % number for number in range(2 * MB))
    for turn in turns:
        with suppress(OSError), wire(target.port, b"PUSH", timeout_s=PATIENCE_S) as requests:
            requests.send(message([*request(b'["a"]', request_id=turn), b"{%s}" % names]))
        time.sleep(0.2)
    return []


@_catalogue.of(row=6, message_mb=MAX_MSG_MB)
def endless_frames_of_1_mb(target: Target, turns: Turns) -> list[str]:
    """Of one message that never ends; 1.5 GB in all."""
    with suppress(OSError), wire(target.port, b"PUSH") as requests:
        for turn in turns:
            if turn >= 1_500:
                break
            requests.send(header(CHUNK, MORE) + bytes(CHUNK))
        turns.hold()
    return []


@_catalogue.of(message_mb=MAX_MSG_MB)
def unfinished_messages_of_many(target: Target, turns: Turns) -> list[str]:
    """40 connections, 30 frames of 1 MB each, and never a last one: 1.2 GB in all."""
    with ExitStack() as opened:
        wires: list[Wire] = []
        for _ in range(40):
            with suppress(OSError):
                wires.append(opened.enter_context(wire(target.port, b"PUSH")))
        for turn in turns:
            if turn >= 30:
                break
            for requests in wires:
                with suppress(OSError):
                    requests.send(header(CHUNK, MORE) + bytes(CHUNK))
        turns.hold()
    return []


@_catalogue.of(row=6, message_mb=25)
def identities_of_25_mb(target: Target, turns: Turns) -> list[str]:
    """32 of them, each with a request that is well formed, or wrong and answered."""
    for turn in turns:
        if turn >= 32:
            break
        identity = b"%d" % turn + b"i" * (25 * MB)
        with suppress(OSError), wire(target.port, b"PUSH", timeout_s=PATIENCE_S) as requests:
            requests.send(message([identity, b'["a"]' if turn % 2 else b"wrong", b"1", b"1"]))
    turns.hold()
    return []


@_catalogue.of(message_mb=0.1)
def thousands_of_identities_of_4_kb(target: Target, turns: Turns) -> list[str]:
    """Well formed requests of clients that never listen."""
    with suppress(OSError), wire(target.port, b"PUSH") as requests:
        for turn in turns:
            requests.send(message([b"%d" % turn + b"i" * 4_000, b'["a"]', b"1", b"1"]))
    return []


@_catalogue.of(message_mb=2)
def million_empty_frames(target: Target, turns: Turns) -> list[str]:
    """In one message, which ends; then in one that does not."""
    empty = frame(b"", MORE) * 10_000
    for turn in turns:
        with suppress(OSError), wire(target.port, b"PUSH") as requests:
            for _ in range(100):
                requests.send(empty)
            if turn % 2 == 0:
                requests.send(frame(b""))
    return []


@_catalogue.of(message_mb=MAX_MSG_MB)
def claims_of_250_mb(target: Target, turns: Turns) -> list[str]:
    """40 connections announce a frame of 250 MB each, and send it byte by byte."""
    with ExitStack() as opened:
        wires: list[Wire] = []
        for _ in range(40):
            with suppress(OSError):
                wires.append(opened.enter_context(wire(target.port, b"PUSH")))
                wires[-1].send(header(250 * MB))
        for _ in turns:
            for requests in wires:
                with suppress(OSError):
                    requests.send(b"x")
            time.sleep(0.01)
    return []


@_catalogue.of()
def claims_beyond_every_bound(target: Target, turns: Turns) -> list[str]:
    """Frames of 2**63 bytes and the like, on both ports: such a connection is closed."""
    for turn in turns:
        for port, kind in ((target.port, b"PUSH"), (target.port_out, b"SUB")):
            with suppress(OSError), wire(port, kind) as opened:
                opened.send(header([2**63, 2**64 - 1, 2**40, 300 * MB][turn % 4]) + bytes(1000))
        time.sleep(0.01)
    return []
