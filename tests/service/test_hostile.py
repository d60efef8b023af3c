"""Frames of strangers: no crash, no growth, and a good client beside them is served."""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor

import hostile
import numpy as np
import psutil
from fake_engine import vector_of
from serving import Connect, Serve, open_requests, pids

FRAMES = 20_000
MOST_GROWTH_MB = 8


def test_hostile_frames_harm_nobody(serve: Serve, connect: Connect) -> None:
    server = serve()
    ports = [server.config.port, server.config.port_out]
    good = connect(server)
    readers = [psutil.Process(pids(server)[name]) for name in ("ventilator", "sink")]

    def attack(messages: int) -> None:
        with ThreadPoolExecutor(1) as stranger:
            attacked = stranger.submit(hostile.attack, ports, messages, seed=messages, per_second=math.inf)
            while not attacked.done():
                np.testing.assert_array_equal(good.encode(["a"]), [vector_of("a")])
            attacked.result()
        while open_requests(server):
            pass

    attack(FRAMES // 4)  # all that is kept once is there
    before = [process.memory_info().rss for process in readers]
    attack(FRAMES)
    grown = [process.memory_info().rss - was for process, was in zip(readers, before, strict=True)]
    assert max(grown) < MOST_GROWTH_MB << 20, f"{grown} bytes"
    assert all(process.is_running() for process in readers)
