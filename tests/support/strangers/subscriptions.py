"""Subscriptions by the thousand, of others' names, too long, and by those who never read."""

from __future__ import annotations

import os
import time
from contextlib import ExitStack, suppress

from zmtp import Wire, cancellation, message, subscription, wire

from bert_serving.client import BertClient, BertServingError
from bert_serving.client.wire import Command, encode_command, encode_request
from strangers.attack import Attack, Catalogue, Target, Turns

LONGEST = 4_096
_catalogue = Catalogue()
ATTACKS: dict[str, Attack] = _catalogue.attacks


def names(number: int) -> list[bytes]:
    """That nobody else has, now or in another run."""
    run = os.urandom(4).hex().encode()
    return [b"%s-%d" % (run, index) for index in range(number)]


def ask_for_all(target: Target, turns: Turns, asked: list[bytes]) -> None:
    """A status for each, once."""
    with suppress(OSError), wire(target.port, b"PUSH") as requests:
        for _, name in zip(turns, asked, strict=False):
            requests.send(message(encode_command(name, 2, Command.SHOW_STATUS)))


@_catalogue.of(row=3)
def names_9000_of_one_who_does_not_read(target: Target, turns: Turns) -> list[str]:
    with wire(target.port_out, b"SUB", receive_bytes=4_096) as results:
        asked = names(9_000)
        with suppress(OSError):
            results.send(b"".join(map(subscription, asked)))
        ask_for_all(target, turns, asked)
        turns.hold()
    return []


@_catalogue.of()
def readers_200_who_do_not_read(target: Target, turns: Turns) -> list[str]:
    """40 names each, and a status for every one."""
    with ExitStack() as opened:
        asked = names(8_000)
        for number in range(200):
            with suppress(OSError):
                results = opened.enter_context(wire(target.port_out, b"SUB", receive_bytes=4_096))
                results.send(b"".join(map(subscription, asked[number::200])))
        ask_for_all(target, turns, asked)
        turns.hold()
    return []


@_catalogue.of(options={"pooling_strategy": "NONE", "max_seq_len": 1_000})
def rows_for_one_who_does_not_read(target: Target, turns: Turns) -> list[str]:
    """Answers of 1.6 MB for 500 names, 2 or 3 for each."""
    asked = names(500)
    with suppress(OSError), wire(target.port_out, b"SUB", receive_bytes=4_096) as results:
        results.send(b"".join(map(subscription, asked)))
        with wire(target.port, b"PUSH") as requests:
            for turn in turns:
                if turn < 1_200:
                    requests.send(message(encode_request(asked[turn % 500], turn, ["a"] * 50)))
                time.sleep(0.005)
    return []


@_catalogue.of()
def one_name_subscribed_without_end(target: Target, turns: Turns) -> list[str]:
    """And taken back, in turns, with answers kept for it."""
    (name,) = names(1)
    both = (subscription(name) + cancellation(name)) * 500
    with suppress(OSError), wire(target.port_out, b"SUB") as results, wire(target.port, b"PUSH") as requests:
        for turn in turns:
            results.send(both)
            requests.send(message(encode_command(name, turn, Command.SHOW_STATUS)))
    return []


@_catalogue.of(row=5)
def all_places_taken_twice(target: Target, turns: Turns) -> list[str]:
    """10,000 names, subscribed twice over one connection, which then goes: a new client must find room."""
    taken = b"".join(map(subscription, names(10_000)))
    with suppress(OSError), wire(target.port_out, b"SUB") as results:
        results.send(taken + taken)
        time.sleep(turns.left_s / 2)
    turns.hold()
    try:
        with BertClient(port=target.port, port_out=target.port_out, timeout=5_000, connect_timeout=5_000) as client:
            client.encode(["is there room?"])
    except BertServingError as error:
        return [f"a client that came afterwards was turned away: {error}"]
    return []


@_catalogue.of(row=5)
def unsubscription_of_another(target: Target, turns: Turns) -> list[str]:
    """By one who never subscribed, then by one who did."""
    victim = target.victim.encode()
    for turn in turns:
        with suppress(OSError), wire(target.port_out, b"SUB") as results:
            if turn % 2:
                results.send(subscription(victim))
            results.send(cancellation(victim) * 3)
            time.sleep(0.02)
    return []


@_catalogue.of()
def unsubscriptions_of_everything(target: Target, turns: Turns) -> list[str]:
    """The empty name, the victim's topic as the server has it, its beginnings, and what nobody has."""
    victim = target.victim.encode()
    topics = [b"", b"\0", victim + b"\0", victim + b"\1", *(victim[:end] for end in range(1, len(victim))), *names(500)]
    for _ in turns:
        with suppress(OSError), wire(target.port_out, b"SUB") as results:
            results.send(b"".join(map(cancellation, topics)))
            results.send(b"".join(subscription(topic) + cancellation(topic) * 2 for topic in topics))
            time.sleep(0.02)
    return []


@_catalogue.of()
def subscriptions_to_what_is_not_ones_own(target: Target, turns: Turns) -> list[str]:
    """To everything, to beginnings of the victim's name: none of it may be heard."""
    victim = target.victim.encode()
    with wire(target.port_out, b"SUB", timeout_s=0.5) as results:
        for topic in (b"", b"\0", victim[:-1], victim[:4], victim + b"\0", victim + b"\0\0"):
            results.send(subscription(topic))
        for _ in turns:
            with suppress(TimeoutError):
                return [f"it heard {results.read_message()[0]!r}"]
    return []


@_catalogue.of()
def subscriptions_of_4097_bytes(target: Target, turns: Turns) -> list[str]:
    """And of 4,096, and of a megabyte: as many as go."""
    for turn in turns:
        with suppress(OSError), wire(target.port_out, b"SUB") as results:
            for number in range(20):
                size = (LONGEST - 1, LONGEST, LONGEST + 1, 1 << 20)[turn % 4]
                results.send(subscription((b"%d-%d-" % (turn, number)).ljust(size, b"s")))
    return []


@_catalogue.of()
def places_by_many_connections(target: Target, turns: Turns) -> list[str]:
    """300 connections with 40 names each, gone and back, while others stay."""
    for _ in turns:
        with ExitStack() as opened:
            held: list[Wire] = []
            for _ in range(300):
                with suppress(OSError):
                    held.append(opened.enter_context(wire(target.port_out, b"SUB")))
                    held[-1].send(b"".join(map(subscription, names(40))))
                if not turns.left_s:
                    break
    return []
