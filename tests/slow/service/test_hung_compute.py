"""A compute lane that hangs: its worker is started again, its work done again, and the text alone fails."""

from __future__ import annotations

import os
import signal
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from fake_engine import expected
from serving import Connect, Serve, open_requests, pids

from bert_serving.client import RowFailed


@pytest.mark.parametrize("num_worker", [1, 2])
def test_a_text_that_hangs_a_lane_fails_alone(
    serve: Serve, connect: Connect, capfd: pytest.CaptureFixture[str], num_worker: int
) -> None:
    server = serve(num_worker=num_worker, compute_timeout=1)
    bad, others = connect(server), [connect(server) for _ in range(4)]
    with ThreadPoolExecutor(5) as pool:
        failing = pool.submit(bad.encode, ["!hang"])
        while open_requests(server) == 0:
            pass
        for round_ in range(3):
            texts = [[f"{number} {round_} {index}" for index in range(50)] for number in range(4)]
            running = [pool.submit(client.encode, some) for client, some in zip(others, texts, strict=True)]
            for done, some in zip(running, texts, strict=True):
                np.testing.assert_array_equal(done.result(120), expected(some))
        with pytest.raises(RowFailed):
            failing.result(120)
    np.testing.assert_array_equal(bad.encode(["after"]), expected(["after"]))
    assert "a micro-batch has run for" in capfd.readouterr().err


def test_one_lane_of_two_that_hangs_is_found_though_the_other_goes_on(serve: Serve, connect: Connect) -> None:
    server = serve(compute_timeout=1)
    with ThreadPoolExecutor(1) as pool:
        failing = pool.submit(connect(server).encode, ["!hang"])
        client = connect(server)
        while not failing.done():
            np.testing.assert_array_equal(client.encode(["beside"]), expected(["beside"]))
        with pytest.raises(RowFailed):
            failing.result()


def test_a_micro_batch_that_makes_code_first_is_not_hung(serve: Serve, connect: Connect) -> None:
    server = serve(compute_timeout=1)
    before = pids(server)
    compiling = ["!compile 5 a"]
    np.testing.assert_array_equal(connect(server).encode(compiling), expected(compiling))
    assert pids(server) == before


def test_many_slow_micro_batches_are_none_that_hangs(serve: Serve, connect: Connect) -> None:
    server = serve(compute_timeout=2, max_batch_size=1)
    before = pids(server)
    texts = [f"!slow 0.2 {number}" for number in range(60)]
    np.testing.assert_array_equal(connect(server).encode(texts), expected(texts))
    assert pids(server) == before


def test_a_worker_that_was_stopped_for_long_is_not_hung(serve: Serve, connect: Connect) -> None:
    server = serve(compute_timeout=4, heartbeat_timeout=60)
    before = pids(server)
    texts = ["!slow 2 a"]
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(connect(server).encode, texts)
        while open_requests(server) == 0:
            pass
        os.kill(before["worker-0"], signal.SIGSTOP)
        try:
            with pytest.raises(TimeoutError):
                running.result(8)
        finally:
            os.kill(before["worker-0"], signal.SIGCONT)
        np.testing.assert_array_equal(running.result(60), expected(texts))
    assert pids(server) == before


def test_a_tokenizer_that_hangs_ends_its_worker_and_fails_alone(serve: Serve, connect: Connect) -> None:
    server = serve(compute_timeout=1)
    client, other = connect(server), connect(server)
    with ThreadPoolExecutor(1) as pool:
        failing = pool.submit(client.encode, ["!slow-features 3600"])
        while open_requests(server) == 0:
            pass
        np.testing.assert_array_equal(other.encode(["beside"]), expected(["beside"]))
        with pytest.raises(RowFailed):
            failing.result(120)
    np.testing.assert_array_equal(other.encode(["after"]), expected(["after"]))
