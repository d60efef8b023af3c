"""Frames of strangers: no crash, no growth, and a good client beside them is served."""

from __future__ import annotations

import random

import hostile
import numpy as np
import psutil
import zmq
from fake_engine import vector_of
from serving import Connect, Serve, open_requests, pids
from zmtp import anywhere

FRAMES = 20_000
ROUNDS = 50
MOST_GROWTH_MB = 20


def test_hostile_frames_harm_nobody(serve: Serve, connect: Connect) -> None:
    server = serve()
    good, rng = connect(server), random.Random(11)
    readers = [psutil.Process(pids(server)[name]) for name in ("ventilator", "sink")]
    messages = hostile.messages(rng)

    with zmq.Context() as context, context.socket(zmq.SUB) as sub:
        sub.linger = 0
        sub.subscribe(b"stranger")
        sub.connect(f"tcp://127.0.0.1:{server.config.port_out}")
        for turn in range(ROUNDS + ROUNDS // 4):
            if turn == ROUNDS // 4:  # all that is kept once is there
                before = [process.memory_info().rss for process in readers]
            hostile.knock([server.config.port, server.config.port_out], rng)
            sub.subscribe(rng.randbytes(rng.randrange(5000)))
            with context.socket(zmq.PUSH) as push:
                push.linger = 10_000
                push.connect(f"tcp://{anywhere(rng)}:0;127.0.0.1:{server.config.port}")
                for _ in range(FRAMES // ROUNDS):
                    push.send_multipart(next(messages))
            for _ in range(3):
                np.testing.assert_array_equal(good.encode(["a"]), [vector_of("a")])
            while sub.poll(0):
                sub.recv_multipart()
        while open_requests(server):
            pass
        grown = [process.memory_info().rss - was for process, was in zip(readers, before, strict=True)]
    assert max(grown) < MOST_GROWTH_MB << 20, f"{grown} bytes"
    assert all(process.is_running() for process in readers)
