"""Frames of strangers: no crash, no growth, and a good client beside them is served."""

from __future__ import annotations

import random

import hostile
import numpy as np
import psutil
import zmq
from fake_engine import vector_of
from serving import Connect, Serve, open_requests, pids

FRAMES = 20_000
ROUNDS = 50
MOST_GROWTH_MB = 20


def test_hostile_frames_harm_nobody(serve: Serve, connect: Connect) -> None:
    server = serve()
    good, rng = connect(server), random.Random(11)
    readers = [psutil.Process(pids(server)[name]) for name in ("ventilator", "sink")]
    messages = hostile.messages(rng)

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
        before = [process.memory_info().rss for process in readers]
        for _ in range(ROUNDS):
            hostile.knock([server.config.port, server.config.port_out], rng)
            sub.subscribe(rng.randbytes(rng.randrange(5000)))
            send(sock, FRAMES // ROUNDS)
            while sub.poll(0):
                sub.recv_multipart()
        while open_requests(server):
            pass
        grown = [process.memory_info().rss - was for process, was in zip(readers, before, strict=True)]
    assert max(grown) < MOST_GROWTH_MB << 20, f"{grown} bytes"
    assert all(process.is_running() for process in readers)
