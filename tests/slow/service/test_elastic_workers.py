"""More workers while requests would wait, fewer when some have nothing to do; nothing is lost on the way."""

from __future__ import annotations

import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from fake_engine import expected
from serving import Connect, Serve, pids

from bert_serving.client import BertClient
from bert_serving.server import ConfigError, ServerConfig

ELASTIC = {"num_worker": 1, "max_worker": 3, "scale_up_wait": 1, "scale_down_idle": 1, "max_batch_size": 4}
LIMIT_S = 120


def wait_for_workers(client: BertClient, number: int) -> None:
    """Until so many are there, all at work."""
    end_s = time.monotonic() + LIMIT_S
    while states(client) != ["ready"] * number:
        assert time.monotonic() < end_s, states(client)


def states(client: BertClient) -> list[str]:
    processes = client.server_status["processes"]
    return [process["state"] for process in processes if process["name"].startswith("worker-")]


def slow(caller: object) -> list[str]:
    return [f"!slow 0.02 {number} {caller}" for number in range(400)]


def test_workers_come_and_go_with_the_load_and_nothing_is_lost(serve: Serve, connect: Connect) -> None:
    server = serve(**ELASTIC)
    watcher = connect(server)
    for day in range(2):  # what was released can come again
        assert states(watcher) == ["ready"]
        with ThreadPoolExecutor(3) as pool:
            asked = [slow((day, caller)) for caller in range(3)]
            running = [pool.submit(connect(server).encode, texts) for texts in asked]
            wait_for_workers(watcher, 3)
            for texts, answer in zip(asked, running, strict=True):
                np.testing.assert_array_equal(answer.result(LIMIT_S), expected(texts))
        wait_for_workers(watcher, 1)


def test_a_worker_that_came_with_the_load_is_replaced_like_any_other(serve: Serve, connect: Connect) -> None:
    server = serve(**{**ELASTIC, "scale_down_idle": LIMIT_S})
    watcher = connect(server)
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(connect(server).encode, [*slow("a"), *slow("b")])
        wait_for_workers(watcher, 3)
        os.kill(pids(server)["worker-2"], signal.SIGKILL)
        np.testing.assert_array_equal(running.result(LIMIT_S), expected([*slow("a"), *slow("b")]))
    wait_for_workers(watcher, 3)


def test_a_bound_below_the_number_of_workers_is_refused() -> None:
    with pytest.raises(ConfigError, match="-max_worker 1 is below -num_worker 2"):
        ServerConfig(model_dir="fake", num_worker=2, max_worker=1)
