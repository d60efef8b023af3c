"""Texts that take long to cut into tokens; a real tokenizer has to meet them."""

from __future__ import annotations

import json
from contextlib import suppress

from zmtp import message, subscription, wire

from bert_serving.client.wire import ErrorReply, decode_reply
from strangers.attack import IDENTITY, Attack, Catalogue, Target, Turns, request

MB = 10**6
ANSWER_S = 30.0
_catalogue = Catalogue()
ATTACKS: dict[str, Attack] = _catalogue.attacks


def ask_for(target: Target, turns: Turns, text: object) -> list[str]:
    """Ask for this text, wait for the answer, ask again. It has to be cut, not refused."""
    content = json.dumps([text], ensure_ascii=False).encode()
    refusals: list[str] = []
    with wire(target.port_out, b"SUB") as results, wire(target.port, b"PUSH") as requests:
        results.send(subscription(IDENTITY))
        for turn in turns:
            requests.socket.settimeout(ANSWER_S)
            requests.send(message(request(content, request_id=turn)))
            results.socket.settimeout(max(ANSWER_S, turns.left_s))
            try:
                reply = decode_reply(results.read_message())
            except TimeoutError:
                return [f"no answer within {ANSWER_S:.0f} s"]
            if isinstance(reply, ErrorReply):
                refusals.append(f"it was refused, not cut: {str(reply.error)[:100]}")
                break
    return refusals


@_catalogue.of(row=2, needs_model=True, message_mb=0.3)
def pairs_for_a_quadratic_regex(target: Target, turns: Turns) -> list[str]:
    return ask_for(target, turns, "a ||| " * 40_000 + "\nb")


@_catalogue.of(row=2, needs_model=True, message_mb=19)
def honest_text_of_19_mb(target: Target, turns: Turns) -> list[str]:
    return ask_for(target, turns, "the quick brown fox " * (19 * MB // 20))


@_catalogue.of(needs_model=True, message_mb=19)
def spaces_of_19_mb(target: Target, turns: Turns) -> list[str]:
    """And one word at the end, so that the text is not empty."""
    return ask_for(target, turns, " " * (19 * MB) + "end")


@_catalogue.of(needs_model=True, message_mb=10)
def one_word_of_10_mb(target: Target, turns: Turns) -> list[str]:
    return ask_for(target, turns, "x" * (10 * MB))


@_catalogue.of(needs_model=True, message_mb=10)
def combining_marks_of_10_mb(target: Target, turns: Turns) -> list[str]:
    """Normalization sorts them."""
    return ask_for(target, turns, "a" + "\u0301\u0323" * (10 * MB // 4))


@_catalogue.of(needs_model=True, message_mb=5)
def pairs_without_a_first_half(target: Target, turns: Turns) -> list[str]:
    """Separators with spaces, tabs and line ends in every mixture."""
    return ask_for(target, turns, ("|||" + " \t" * 50 + "\n||| ") * 40_000)


@_catalogue.of(needs_model=True, message_mb=8)
def million_tokens_in_a_text(target: Target, turns: Turns) -> list[str]:
    return ask_for(target, turns, ["token"] * 1_000_000)


@_catalogue.of(needs_model=True, message_mb=2)
def million_ids_in_a_text(target: Target, turns: Turns) -> list[str]:
    return ask_for(target, turns, [5] * 1_000_000)


@_catalogue.of(needs_model=True, message_mb=19)
def thousand_texts_of_19_kb(target: Target, turns: Turns) -> list[str]:
    """One request, each text far too long, each within reason."""
    with suppress(OSError), wire(target.port_out, b"SUB") as results, wire(target.port, b"PUSH") as requests:
        results.send(subscription(IDENTITY))
        requests.socket.settimeout(ANSWER_S)
        results.socket.settimeout(ANSWER_S)
        text = json.dumps(["word " * 3_800] * 1_000).encode()
        for turn in turns:
            requests.send(message(request(text, 1_000, request_id=turn)))
            results.read_message()
    return []
