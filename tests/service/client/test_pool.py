"""ConcurrentBertClient lends connections and waits while none is free."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from peer_server import CONFIG, Frames, PeerServer, answer_nothing, answer_rows, vectors
from ports import free_ports

from bert_serving.client import (
    BertClient,
    ClientClosed,
    ConcurrentBertClient,
    ConnectFailed,
    RequestTimeout,
)
from bert_serving.client.wire import EncodeRequest


def test_more_threads_than_connections(peer: PeerServer) -> None:
    with ConcurrentBertClient(max_concurrency=3, **peer.ports) as pool:

        def use(thread: int) -> None:
            for turn in range(10):
                texts = [f"thread {thread} turn {turn}"]
                np.testing.assert_array_equal(pool.encode(texts), vectors(texts))

        with ThreadPoolExecutor(20) as threads:
            list(threads.map(use, range(20)))
        status = pool.status
    assert status["max_concurrency"] == 3
    assert 1 <= status["num_connection"] <= 3
    assert status["num_request"] == 200 + status["num_connection"]
    assert status["num_pending_request"] == 0


def test_each_call_has_a_connection(peer: PeerServer) -> None:
    held: list[EncodeRequest] = []

    def answer(peer: PeerServer, request: EncodeRequest) -> list[Frames]:
        held.append(request)
        return [answer_rows(peer, one)[0] for one in held] if len(held) == 4 else []

    peer.answer = answer
    with ConcurrentBertClient(max_concurrency=4, **peer.ports) as pool, ThreadPoolExecutor(4) as threads:
        list(threads.map(pool.encode, [["a"], ["b"], ["c"], ["d"]]))
        assert pool.status["num_connection"] == 4
    assert len({request.identity for request in held}) == 4


def test_passes_arguments_on(peer: PeerServer) -> None:
    with ConcurrentBertClient(max_concurrency=1, output_fmt="list", **peer.ports) as pool:
        rows, tokens = pool.encode([["a", "b"]], is_tokenized=True, show_tokens=True)
        assert rows == vectors([["a", "b"]]).tolist()
        assert tokens == [["a", "b"]]
        assert pool.encode(texts=["a"]) == vectors(["a"]).tolist()
        assert pool.server_config == CONFIG
        assert "statistic" in pool.server_status


def test_waiting_is_bounded_by_timeout(peer: PeerServer) -> None:
    peer.answer = answer_nothing
    with (
        ConcurrentBertClient(max_concurrency=1, timeout=30_000, **peer.ports) as pool,
        ThreadPoolExecutor(1) as threads,
    ):
        threads.submit(pool.encode, ["a"])
        (request,) = peer.wait_for(num_encode=1)
        pool._clients[0].timeout = 50
        with pytest.raises(RequestTimeout, match="all 1 connections were busy for timeout=50 ms"):
            pool.encode(["b"])
        peer.publish(answer_rows(peer, request)[0])


def test_a_failed_call_gives_its_connection_back(peer: PeerServer) -> None:
    with ConcurrentBertClient(max_concurrency=1, timeout=20_000, **peer.ports) as pool:
        for _ in range(50):
            with pytest.raises(ValueError, match="blank"):
                pool.encode([" "])
        np.testing.assert_array_equal(pool.encode(["a"]), vectors(["a"]))


def test_what_it_does_not_do(peer: PeerServer) -> None:
    with ConcurrentBertClient(**peer.ports) as pool:
        for call in (pool.fetch, pool.fetch_all, pool.listen):
            with pytest.raises(NotImplementedError, match="use one BertClient"):
                call()
        with pytest.raises(NotImplementedError, match="encode_async"):
            pool.encode_async([["a"]])
        with pytest.raises(NotImplementedError, match="blocking=False"):
            pool.encode(["a"], blocking=False)


def test_closing(peer: PeerServer) -> None:
    peer.answer = answer_nothing
    pool = ConcurrentBertClient(max_concurrency=2, **peer.ports)
    with ThreadPoolExecutor(3) as threads:
        calls = [threads.submit(pool.encode, ["a"]) for _ in range(3)]
        peer.wait_for(num_encode=2)
        pool.close()
        for call in calls:
            with pytest.raises(ClientClosed):
                call.result(timeout=20)
    pool.close()
    assert "bert-serving-client" not in [thread.name for thread in threading.enumerate()]


def test_construction_fails_as_bert_client_does() -> None:
    port, port_out = free_ports(2)
    with pytest.raises(ConnectFailed, match="nothing listens"):
        ConcurrentBertClient(port=port, port_out=port_out, connect_timeout=200)
    with pytest.raises(ValueError, match="max_concurrency"):
        ConcurrentBertClient(max_concurrency=0)


def test_it_is_no_bert_client() -> None:
    assert not issubclass(ConcurrentBertClient, BertClient)
