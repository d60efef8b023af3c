"""Long texts and slow ones beside others: cut, not refused, and nobody waits for them."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from fake_engine import expected
from serving import Connect, Serve, open_requests, pids

from bert_serving.client import BertClient, RowFailed
from bert_serving.server import BertServer
from bert_serving.server.worker.tokenizing import LARGE_PART_BYTES, SLICE_ROWS


def test_a_text_that_takes_long_to_tokenize_leaves_the_worker_alive(serve: Serve, connect: Connect) -> None:
    """Tokenizing was done by the thread that says Alive, so that the worker was killed, again and again."""
    server = serve(heartbeat_timeout=4)
    slow = ["!slow-features 9 a"]
    before = pids(server)
    np.testing.assert_array_equal(connect(server).encode(slow), expected(slow))
    assert pids(server) == before


def test_a_large_part_keeps_no_small_one_waiting(serve: Serve, connect: Connect) -> None:
    server = serve()
    long, short = connect(server), connect(server)
    texts = ["!slow-features 5 " + "x" * LARGE_PART_BYTES]
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(long.encode, texts)
        while open_requests(server) == 0:
            pass
        for number in range(20):
            np.testing.assert_array_equal(short.encode([f"short {number}"]), expected([f"short {number}"]))
        assert not running.done()
        np.testing.assert_array_equal(running.result(60), expected(texts))


def test_a_small_call_is_tokenized_between_the_slices_of_a_bulk_one(serve: Serve, connect: Connect) -> None:
    server = serve(num_worker=1)
    bulk, small = connect(server), connect(server)
    texts = [f"!slow-features 0.004 {index}" for index in range(6 * SLICE_ROWS)]  # 6 s
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(bulk.encode, texts)
        while open_requests(server) == 0:
            pass
        np.testing.assert_array_equal(small.encode(["small"]), expected(["small"]))
        assert not running.done()
        np.testing.assert_array_equal(running.result(60), expected(texts))


def test_tokenizing_time_is_told(serve: Serve, connect: Connect) -> None:
    client = connect(serve())
    client.encode(["!slow-features 0.5 a"])
    while not (told := _tokenize_s(client)):
        pass
    assert told >= 0.5


def _tokenize_s(client: BertClient) -> float:
    return float(sum(worker["tokenize_s"] for worker in client.server_status["workers"]))


@pytest.mark.parametrize("rows", [1, 300])
def test_the_row_on_which_the_tokenizer_fails_is_named(server: BertServer, connect: Connect, rows: int) -> None:
    client = connect(server)
    texts = [f"text {index}" for index in range(rows)]
    bad = rows * 2 // 3  # within a part, not at its beginning
    texts[bad] = "!tokenizer-crash"
    with pytest.raises(RowFailed, match="tokenization failed") as caught:
        client.encode(texts)
    assert caught.value.index == bad


def test_long_texts_of_many_kinds_come_back_right(server: BertServer, connect: Connect) -> None:
    client = connect(server)
    texts: list[str] = [kind * (LARGE_PART_BYTES // len(kind.encode())) for kind in ("x", "é ", "字", '"\\', "\u0301")]
    texts += [f"short {index}" for index in range(100)]
    np.testing.assert_array_equal(client.encode(texts), expected(texts))
    assert len(json.dumps(texts)) > LARGE_PART_BYTES
