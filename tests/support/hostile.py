"""What strangers send: frames that are random, cut, mutated, or right in form and wrong in content."""

from __future__ import annotations

import json
import random
import socket
import time
from collections.abc import Iterator
from contextlib import suppress

import zmq
from zmtp import anywhere

from bert_serving.client.wire import Command, encode_command, encode_request

WRONG_TEXTS = [
    b"[]",
    b"{}",
    b"null",
    b'["a",1]',
    b'[["a"],"b"]',
    b'[""]',
    b"[1e999]",
    rb'["\ud800"]',
    rb'[["\ud800"]]',
    rb'["\u0000\u001b[31m"]',
    b'["\xed\xa0\x80"]',
    b'["\xff"]',
    b"\xef\xbb\xbf" + b'["a"]',
    '["a"]'.encode("utf-16"),
    b"[" + b"9" * 5000 + b"]",
    b'[{"a":1,"a":2}]',
    b"[" + b"[]," * 1000 + b"[]]",
    b'["' + b"x" * 300_000 + b'"',
]
WRONG_OPTIONS = [
    rb'{"\ud800":1}',
    rb'{"timeout_ms":"\udfff"}',
    rb'{"timeout_ms":1,"timeout_ms":9}',
    rb'{"timeout\u005fms":1,"timeout_ms":9}',
    b'{"timeout_ms":' + b"9" * 5000 + b"}",
    b'{"timeout_ms":1e999999}',
    b'{"timeout_ms":NaN}',
    b'{"a":' * 2000,
    b"[" * 100_000,
    b'{"' + b"x" * 100_000 + b'":1}',
    rb'{"\u001b[31m":1}',
    '{"timeout_ms":5}'.encode("utf-16"),
    b"",
]
WRONG_COUNTS = [b"1_0", b"007", b"", b"-1", b"9" * 5000, b"18446744073709551616", "\u0663".encode()]
NO_ZMTP = [b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01"]


def messages(rng: random.Random) -> Iterator[list[bytes]]:
    """Without end. Those that can be answered are mostly of a client named `stranger`."""
    while True:
        good = rng.choice(
            [encode_request(b"stranger", 7, ["some", "text"]), encode_command(b"stranger", 8, Command.SHOW_STATUS)]
        )
        kind = rng.randrange(9)
        if kind == 0:
            yield [rng.randbytes(rng.randrange(200)) for _ in range(rng.randrange(1, 9))]
        elif kind == 1:
            yield good[: rng.randrange(1, 4)]
        elif kind == 2:
            frame = bytearray(rng.choice(good))
            frame[rng.randrange(len(frame))] = rng.randrange(256)
            yield [bytes(frame) if rng.random() < 0.4 else part for part in good]
        elif kind == 3:
            yield [b"stranger", b"[" * rng.randrange(1, 5000), b"1", b"1"]
        elif kind == 4:
            yield [b"stranger", rng.choice(WRONG_TEXTS), b"1", b"1"]
        elif kind == 5:
            yield [b"stranger", b'["a"]', b"1", b"1", rng.choice(WRONG_OPTIONS)]
        elif kind == 6:
            yield [b"stranger", b'["a"]', b"1", rng.choice(WRONG_COUNTS)]
        elif kind == 7:
            yield [*good, b"{}", *(b"" for _ in range(rng.randrange(1, 300)))]
        else:
            yield [rng.randbytes(rng.choice([rng.randrange(300), 5000])), *good[1:]]


def http_request(rng: random.Random) -> tuple[str, bytes]:
    """A path and a body that is wrong in one way or another."""
    path = rng.choice(["/encode", "/v1/embeddings"])
    field = "texts" if path == "/encode" else "input"
    kind = rng.randrange(6)
    if kind == 0:
        return path, rng.randbytes(rng.randrange(2000))
    if kind == 1:
        return path, json.dumps({field: rng.choice([[], "", None, 7, {"a": 1}, [[]], ["a", ""], ["a", 1]])}).encode()
    if kind == 2:
        return path, b"[" * rng.randrange(1, 100_000)
    if kind == 3:
        return path, b'{"id": NaN, "%s": ["a"]}' % field.encode()
    if kind == 4:
        return f"/{rng.randbytes(10).hex()}", b"{}"
    return path, json.dumps({field: ["a"], "dimensions": "many", "is_tokenized": 7, "id": [1]}).encode()[
        : -rng.randrange(1, 3)
    ]


MESSAGES_AN_ADDRESS = 500
LAST_ID = 999_999_999
PATIENCE_MS = 100


def knock(ports: list[int], rng: random.Random) -> None:
    """Bytes that are no ZMTP, to each port."""
    for port in ports:
        with suppress(ConnectionResetError), socket.create_connection(("127.0.0.1", port)) as sock:
            sock.sendall(rng.choice([*NO_ZMTP, b"\xff" + rng.randbytes(9), rng.randbytes(500)]))


def attack(ports: list[int], number: int, seed: int, per_second: float) -> None:
    """Send so many messages at that pace, and now and then what is none; reads its answers sometimes.

    It has another address from time to time, for one alone would soon be let in no more; not before all is read that
    it sent from the last one, or what waits for the server would grow without end.
    """
    rng = random.Random(seed)
    stream = messages(rng)
    begin_s = time.monotonic()
    with zmq.Context() as context:
        for begin in range(0, number, MESSAGES_AN_ADDRESS):
            with context.socket(zmq.PUSH) as push, context.socket(zmq.SUB) as sub:
                push.linger, sub.linger = 1_000, 0
                sub.subscribe(b"stranger")
                source = anywhere(rng)
                sub.connect(f"tcp://{source}:0;127.0.0.1:{ports[1]}")
                push.connect(f"tcp://{source}:0;127.0.0.1:{ports[0]}")
                for count in range(begin, min(begin + MESSAGES_AN_ADDRESS, number)):
                    if count % 5 == 0:
                        time.sleep(max(0.0, begin_s + count / per_second - time.monotonic()))
                    push.send_multipart(next(stream))
                knock(ports, rng)
                sub.subscribe(rng.randbytes(rng.randrange(5000)))
                _wait_until_read(push, sub)


def _wait_until_read(push: zmq.Socket[bytes], sub: zmq.Socket[bytes]) -> None:
    """Ask what comes after all else, and read answers up to that; for a while, if it was hung up on."""
    push.send_multipart(encode_command(b"stranger", LAST_ID, Command.SHOW_CONFIG))
    while sub.poll(PATIENCE_MS):
        if sub.recv_multipart()[-1] == b"%d" % LAST_ID:
            return
