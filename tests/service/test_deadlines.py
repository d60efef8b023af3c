"""Time that runs out, clients that are too many, answers that wait: each is told, and nothing is computed in vain."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from fake_engine import vector_of
from raw_client import RawClient
from serving import Connect, Serve, open_requests, ports_of, status

from bert_serving.client import BertClient, ConnectFailed, RequestTimeout
from bert_serving.client.errors import DeadlineExceeded
from bert_serving.client.options import Options
from bert_serving.client.wire import ErrorReply, encode_options, encode_request
from bert_serving.server import BertServer


def computed_rows(server: BertServer) -> int:
    """How many rows the workers have computed so far."""
    return sum(int(worker["batch_rows"]) for worker in status(server)["workers"])


def test_what_nobody_waits_for_any_more_is_not_computed(serve: Serve, connect: Connect) -> None:
    server = serve(max_batch_size=1)
    client = connect(server)
    client.encode(["warm"])
    before = computed_rows(server)
    client.timeout = 300
    with pytest.raises(RequestTimeout):
        client.encode([f"!slow 0.1 {number}" for number in range(1000)])
    while open_requests(server):
        pass
    client.timeout = -1
    np.testing.assert_array_equal(client.encode(["after"]), [vector_of("after")])
    assert computed_rows(server) - before < 100


def test_who_still_listens_is_told_that_the_time_is_over(serve: Serve) -> None:
    server = serve()
    with RawClient(server, b"me") as raw:
        reply = raw.ask(*encode_request(b"me", 5, ["!slow 0.2"] * 1000), encode_options(Options(timeout_ms=200)))
        assert isinstance(reply, ErrorReply)
        assert reply.request_id == 5
        assert isinstance(reply.error, DeadlineExceeded)


def test_one_client_too_many_waits_until_there_is_room_or_says_why_there_is_none(serve: Serve) -> None:
    server = serve(max_clients=2)
    ports = ports_of(server)
    with BertClient(**ports) as first, BertClient(**ports):
        with pytest.raises(ConnectFailed, match=r"accepts no more requests: 2 clients are connected,.*-max_clients"):
            BertClient(connect_timeout=700, **ports)
        with ThreadPoolExecutor(1) as pool:
            third = pool.submit(BertClient, connect_timeout=30_000, **ports)
            np.testing.assert_array_equal(first.encode(["a"]), [vector_of("a")])
            first.close()
            with third.result(30) as client:
                np.testing.assert_array_equal(client.encode(["b"]), [vector_of("b")])


def test_an_answer_that_is_kept_is_not_computed_again(serve: Serve) -> None:
    server = serve()
    request = encode_request(b"late", 7, ["once"])
    with RawClient(server, b"other") as raw:
        raw.push.send_multipart(request)
        while computed_rows(server) < 1 or open_requests(server):
            pass
        raw.push.send_multipart(request)
        raw.ask(*encode_request(b"other", 1, ["a"]))  # so the other has been read
        assert computed_rows(server) == 2
        raw.sub.subscribe(b"late")
        assert raw.sub.poll(10_000)
        assert raw.sub.recv_multipart()[0] == b"late\0"
        while True:  # it is out, and the next one is new to the server, which hears of that from the sink
            raw.push.send_multipart(request)
            if raw.sub.poll(100):
                break
        assert computed_rows(server) == 3
