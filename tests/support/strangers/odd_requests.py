"""Whole requests that say what nobody expects: in options, in texts, in numbers."""

from __future__ import annotations

import random
import time
from contextlib import suppress

from hostile import messages
from zmtp import message, subscription, wire

from bert_serving.client.wire import decode_reply
from strangers.attack import IDENTITY, Attack, Catalogue, Target, Turns, request, request_with

PACE_S = 0.02
PATIENCE_S = 5.0
_catalogue = Catalogue()
ATTACKS: dict[str, Attack] = _catalogue.attacks


def send_and_listen(target: Target, turns: Turns, *odd: list[bytes]) -> list[str]:
    """Send these again and again, each by a connection of its own, and read what is answered."""
    with wire(target.port_out, b"SUB") as results:
        results.send(subscription(IDENTITY))
        for turn in turns:
            with suppress(OSError), wire(target.port, b"PUSH") as requests:
                requests.send(message(odd[turn % len(odd)]))
                results.socket.settimeout(PACE_S)
                results.read_message()
            time.sleep(PACE_S)
    return []


@_catalogue.of(row=1)
def surrogate_as_option(target: Target, turns: Turns) -> list[str]:
    return send_and_listen(target, turns, request_with(rb'{"\ud800":1}'))


@_catalogue.of()
def surrogates_everywhere(target: Target, turns: Turns) -> list[str]:
    """In names, values and texts, alone and within others."""
    odd = [request_with(options) for options in (rb'{"\udfff":{}}', rb'{"timeout_ms":"\ud83d"}', rb'{"a\udc00b":[]}')]
    odd += [
        request(content) for content in (rb'["\ud800"]', rb'[["\udfff","a"]]', rb'{"\ud800":1}', rb'["\udc00 ||| a"]')
    ]
    return send_and_listen(target, turns, *odd)


@_catalogue.of()
def duplicate_keys(target: Target, turns: Turns) -> list[str]:
    """100,000 times the same option, and as many different ones that nobody knows."""
    same = b"{" + b",".join([b'"timeout_ms":5'] * 100_000) + b"}"
    different = b"{" + b",".join(b'"option%d":5' % number for number in range(100_000)) + b"}"
    return send_and_listen(target, turns, request_with(same), request_with(different))


@_catalogue.of()
def depth_of_100000(target: Target, turns: Turns) -> list[str]:
    """As texts and as options, lists and objects, closed and not."""
    deep = [
        b"[" * 100_000,
        b"[" * 100_000 + b"]" * 100_000,
        b'{"a":' * 100_000,
        b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    ]
    return send_and_listen(target, turns, *map(request, deep), *map(request_with, deep))


@_catalogue.of()
def numbers_of_5000_digits(target: Target, turns: Turns) -> list[str]:
    number = b"9" * 5_000
    odd = [
        request_with(b'{"timeout_ms":%s}' % digits)
        for digits in (number, b"-" + number, b"1e" + number, b"1." + number)
    ]
    odd += [request(b"[[%s]]" % number), request(b"[[1e400]]"), request(b"[[%s]]" % (b"9" * 4_000))]
    odd += [[IDENTITY, b'["a"]', number, b"1"], [IDENTITY, b'["a"]', b"1", number]]
    return send_and_listen(target, turns, *odd)


@_catalogue.of(message_mb=1)
def words_of_a_megabyte_quoted_back(target: Target, turns: Turns) -> list[str]:
    """What an error would quote: option names, counts, request ids."""
    word = b"x" * (1 << 20)
    odd = [request_with(b'{"%s":1}' % word), [IDENTITY, b'["a"]', word, b"1"], [IDENTITY, b'["a"]', b"1", word]]
    odd += [request(word), request(b'{"%s":1}' % word), [IDENTITY, b'["a"]', b"1" * 20, b"1", word]]
    return send_and_listen(target, turns, *odd)


@_catalogue.of()
def odd_encodings(target: Target, turns: Turns) -> list[str]:
    """JSON in UTF-16 and UTF-32, with byte order marks, NaN, broken UTF-8, zero bytes."""
    odd = ['["a"]'.encode(name) for name in ("utf-16", "utf-32", "utf-16-be", "utf-32-le")]
    odd += [
        b"\xef\xbb\xbf" + b'["a"]',
        b'["\xff\xfe"]',
        b"[NaN]",
        b"[[NaN]]",
        b'["\\u0000"]',
        b'["a\0b"]',
        b'["\xed\xa0\x80"]',
    ]
    return send_and_listen(target, turns, *map(request, odd), *map(request_with, odd))


@_catalogue.of()
def random_frames(target: Target, turns: Turns) -> list[str]:
    """Hostile messages as fast as they go, by raw connections that change now and then."""
    stream = messages(random.Random(7))
    for _ in turns:
        with suppress(OSError), wire(target.port, b"PUSH") as requests:
            for _ in range(500):
                requests.send(message(next(stream)))
    return []


@_catalogue.of(row=13, judges_time=False)
def expiries(target: Target, turns: Turns) -> list[str]:
    """Thousands expire while a part of an earlier one is still computed: it comes late, and must open nothing."""
    answers: dict[int, list[str]] = {}
    slow_s = min(1.5, turns.left_s * 0.6)
    with wire(target.port_out, b"SUB") as results, wire(target.port, b"PUSH") as requests:
        results.send(subscription(IDENTITY))
        slow = b'["!slow %.2f a"]' % slow_s
        for number in range(4):
            requests.send(message([*request(slow, request_id=number), b'{"timeout_ms":50}']))
        requests.send(
            b"".join(
                message([*request(b'["b"]', request_id=number), b'{"timeout_ms":1}']) for number in range(10, 7_000)
            )
        )
        results.socket.settimeout(0.1)
        for _ in Turns(turns.left_s + slow_s + 0.5):
            with suppress(TimeoutError):
                reply = decode_reply(results.read_message())
                answers.setdefault(reply.request_id, []).append(type(reply).__name__)
    twice = {number: kinds for number, kinds in answers.items() if len(kinds) > 1}
    return [f"{len(twice)} requests were answered twice, as {next(iter(twice.values()))}"] if twice else []
