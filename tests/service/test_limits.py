"""Limits: what is open at once is bounded, who finds it full comes again, and who sends too much is sent away."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import zmq
from fake_engine import expected, vector_of
from raw_client import RawClient
from serving import Connect, Serve

from bert_serving.client import InvalidInputValue, RequestTimeout, ServerBusy
from bert_serving.client.wire import ErrorReply, RowsReply, decode_reply, encode_request

SLOW = [f"!slow 0.05 {number}" for number in range(4)]


def test_clients_of_a_full_server_come_again_until_they_are_served(serve: Serve, connect: Connect) -> None:
    server = serve(max_queue=6, max_batch_size=2)
    clients = [connect(server) for _ in range(8)]
    with ThreadPoolExecutor(8) as pool:
        for array in pool.map(lambda client: client.encode(SLOW), clients):
            np.testing.assert_array_equal(array, expected(SLOW))


def test_a_full_server_says_when_to_come_again(serve: Serve) -> None:
    with RawClient(serve(max_queue=6), b"me") as raw:
        raw.push.send_multipart(encode_request(b"me", 1, SLOW))
        busy = raw.ask(*encode_request(b"me", 2, SLOW))
        assert isinstance(busy, ErrorReply)
        assert isinstance(busy.error, ServerBusy)
        assert "4 texts are in progress, and 4 more would be too many (-max_queue)" in str(busy.error)
        assert 50 <= busy.error.retry_after_ms <= 5000
        assert raw.sub.poll(10_000)
        assert decode_reply(raw.sub.recv_multipart()).request_id == 1


def test_who_waits_for_a_full_server_keeps_to_its_timeout(serve: Serve, connect: Connect) -> None:
    server = serve(max_queue=6)
    holder = connect(server)
    holder.encode(["!slow 2 a", "!slow 0 b", "c", "d"], blocking=False)
    while connect(server).server_status["queue"]["open_requests"] == 0:
        pass
    with pytest.raises(RequestTimeout):
        connect(server, timeout=500).encode(SLOW)
    assert holder.fetch_all(concat=True).shape == (4, 8)


def test_a_request_larger_than_the_queue_is_served_alone(serve: Serve, connect: Connect) -> None:
    texts = [f"text {number}" for number in range(50)]
    np.testing.assert_array_equal(connect(serve(max_queue=6)).encode(texts), expected(texts))


def test_a_message_that_is_too_large_harms_nobody_else(serve: Serve, connect: Connect) -> None:
    server = serve(max_msg_size=1)
    good = connect(server)
    with RawClient(server, b"big") as raw:
        raw.push.send_multipart([b"big", bytes(2 << 20), b"1", b"1"])
        for _ in range(20):
            np.testing.assert_array_equal(good.encode(["a"]), expected(["a"]))
        assert not raw.sub.poll(0)


def test_our_client_refuses_what_the_server_would_not_take(serve: Serve, connect: Connect) -> None:
    client = connect(serve(max_msg_size=1))
    with pytest.raises(
        InvalidInputValue, match=r"the texts take 2 MB, but the server accepts at most 1 MB in one message"
    ):
        client.encode(["x" * 1000] * 2100)
    np.testing.assert_array_equal(client.encode(["a"]), expected(["a"]))


def test_a_slow_reader_holds_up_nobody_and_gets_everything(serve: Serve, connect: Connect) -> None:
    server = serve(pooling_strategy="NONE", max_seq_len=1000)
    texts = [f"{number:>999}" for number in range(60)]  # an answer of 1.8 MiB
    good = connect(server)
    with RawClient(server, b"slow") as slow:
        slow.sub.set(zmq.RCVHWM, 1)
        slow.sub.set(zmq.RCVBUF, 1 << 16)
        slow.sub.disconnect(slow.results)
        slow.sub.connect(slow.results)  # the mark holds for connections made from now on
        for number in range(50):  # more than is handed to the network for one client
            slow.push.send_multipart(encode_request(b"slow", number, texts))
            assert np.array_equal(good.encode(["quick"])[0, 0], vector_of("quick"))
        while good.server_status["queue"]["open_requests"]:
            pass
        received = []
        for _ in range(50):
            assert slow.sub.poll(30_000)
            reply = decode_reply(slow.sub.recv_multipart())
            assert isinstance(reply, RowsReply)
            assert np.array_equal(reply.array[:, 0], expected(texts))
            received.append(reply.request_id)
        assert sorted(received) == list(range(50))  # they need not be done in the order of asking
