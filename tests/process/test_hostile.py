"""Frames of strangers: no crash, no growth, and a good client beside them is served. HOSTILE_FRAMES says how many."""

from __future__ import annotations

import os
import random
import socket
from collections.abc import Iterator

import numpy as np
import psutil
import zmq
from fake_engine import vector_of
from serving import Connect, Serve, pids

from bert_serving.client.wire import Command, encode_command, encode_request
from bert_serving.server import BertServer

FRAMES = int(os.environ.get("HOSTILE_FRAMES", "20000"))
CONNECTIONS = 50
MOST_GROWTH_MB = 20


def hostile(rng: random.Random) -> Iterator[list[bytes]]:
    """Messages that are random, cut, mutated, or right in form and wrong in content."""
    while True:
        good = rng.choice(
            [encode_request(b"stranger", 7, ["some", "text"]), encode_command(b"stranger", 8, Command.SHOW_STATUS)]
        )
        kind = rng.randrange(6)
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
            yield [
                b"stranger",
                rng.choice([b"[]", b"{}", b"null", b'["a",1]', b'[["a"],"b"]', b'[""]', b"[1e999]"]),
                b"1",
                b"1",
            ]
        else:
            yield [rng.randbytes(rng.randrange(300)), *good[1:]]


def knock(server: BertServer, rng: random.Random) -> None:
    """Bytes that are no ZMTP, to both ports."""
    for port in (server.config.port, server.config.port_out):
        with socket.create_connection(("127.0.0.1", port)) as sock:
            sock.sendall(
                rng.choice([b"GET / HTTP/1.1\r\n\r\n", b"\xff" + rng.randbytes(9), b"\x16\x03\x01", rng.randbytes(500)])
            )


def test_hostile_frames_harm_nobody(serve: Serve, connect: Connect) -> None:
    server = serve()
    good, rng = connect(server), random.Random(11)
    sink = psutil.Process(pids(server)["sink"])
    messages = hostile(rng)

    def send(sock: zmq.Socket[bytes], number: int) -> None:
        for _ in range(number):
            sock.send_multipart(next(messages))
        for _ in range(3):
            np.testing.assert_array_equal(good.encode(["a"]), [vector_of("a")])

    with zmq.Context() as context, context.socket(zmq.PUSH) as sock, context.socket(zmq.SUB) as sub:
        sock.linger = sub.linger = 0
        sock.connect(f"tcp://127.0.0.1:{server.config.port}")
        sub.subscribe(b"stranger")
        sub.connect(f"tcp://127.0.0.1:{server.config.port_out}")
        send(sock, FRAMES // 4)  # after this all that is kept once is there
        before = [process.memory_info().rss for process in (psutil.Process(), sink)]
        for _ in range(CONNECTIONS):
            knock(server, rng)
            sub.subscribe(rng.randbytes(rng.randrange(5000)))
            send(sock, FRAMES // CONNECTIONS)
            while sub.poll(0):
                sub.recv_multipart()
        while good.server_status["queue"]["open_requests"]:
            pass
        grown = [process.memory_info().rss - was for process, was in zip((psutil.Process(), sink), before, strict=True)]
    assert max(grown) < MOST_GROWTH_MB << 20, f"{grown} bytes"
    assert psutil.Process(sink.pid).is_running()
