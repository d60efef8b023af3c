"""Requests of kilobytes whose answers would take gigabytes."""

from __future__ import annotations

import json

from zmtp import message, subscription, wire

from strangers.attack import IDENTITY, Attack, Catalogue, Target, Turns, request

PATIENCE_S = 10.0
NONE_POOLED = {"pooling_strategy": "NONE", "max_seq_len": 20_000}
"""A text's rows have 640 KB with the fake engine's 8 numbers a token, whatever it holds."""
_catalogue = Catalogue()
ATTACKS: dict[str, Attack] = _catalogue.attacks


def ask_and_wait(target: Target, turns: Turns, texts: int) -> list[str]:
    """Ask, and wait for what has to come: an error. Answers are not read, but for how they begin."""
    content = json.dumps(["a"] * texts).encode()
    for turn in turns:
        with wire(target.port_out, b"SUB") as results, wire(target.port, b"PUSH") as requests:
            name = b"%s %d" % (IDENTITY, turn)  # no answer to the last turn's connection, which may be there still
            results.send(subscription(name))
            requests.send(message([name, *request(content, texts, request_id=turn)[1:]]))
            results.socket.settimeout(max(turns.left_s, PATIENCE_S))
            try:
                _, beginning = results.read_beginning(2)
            except OSError as error:
                return [f"neither rows nor an error for {texts} texts within {PATIENCE_S:.0f} s: {error}"]
        if b'"error"' not in beginning:
            return [f"it was computed: {beginning[:80]!r}"]
    return []


@_catalogue.of(row=7, options=NONE_POOLED, message_mb=0.5)
def answer_that_nobody_can_hold(target: Target, turns: Turns) -> list[str]:
    """100,000 texts whose answer would have 64 GB: an error has to come, and the room in the queue back."""
    return ask_and_wait(target, turns, 100_000)


@_catalogue.of(options=NONE_POOLED, message_mb=0.1)
def answers_of_16_gb(target: Target, turns: Turns) -> list[str]:
    """Which a machine might hold once, and no client could take."""
    return ask_and_wait(target, turns, 25_000)
