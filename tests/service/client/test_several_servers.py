"""Several servers behind one client: each does its share, and what one leaves undone the others do."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

import numpy as np
import pytest
from peer_server import PeerServer, answer_nothing, answer_rows, vectors
from ports import free_ports

from bert_serving.client import AsyncBertClient, BertClient, ClientClosed, ConnectFailed, InvalidInputValue, RowFailed
from bert_serving.client.endpoints import Endpoint, checked_endpoints
from bert_serving.client.wire import EncodeRequest, encode_error_reply

TEXTS = [f"text {number}" for number in range(500)]


@pytest.fixture
def peers() -> Iterator[list[PeerServer]]:
    with ExitStack() as opened:
        yield [opened.enter_context(PeerServer()) for _ in range(3)]


def where(*peers: PeerServer) -> list[str]:
    return [f"127.0.0.1:{peer.port}:{peer.port_out}" for peer in peers]


def rows_of(stream: Any) -> Any:
    return np.concatenate([part.embedding for part in stream])


def wait_until_all_work(client: BertClient, peers: list[PeerServer]) -> None:
    """Those that were slow to shake hands work too from here on."""
    while not all(peer.encode_requests() for peer in peers):
        list(client.encode_stream(TEXTS, batch_size=50))


def test_each_does_its_share(peers: list[PeerServer]) -> None:
    with BertClient(endpoints=where(*peers)) as client:
        wait_until_all_work(client, peers)
        before = [len(peer.encode_requests()) for peer in peers]
        for peer in peers:
            peer.answer = answer_nothing
        for _ in range(9):
            client.encode(["a"], blocking=False)
        for peer, number in zip(peers, before, strict=True):
            peer.wait_for(number + 3)


def test_the_others_go_on_when_one_dies(peers: list[PeerServer]) -> None:
    with BertClient(endpoints=where(*peers)) as client:
        wait_until_all_work(client, peers)
        peers[0].answer = answer_nothing  # it takes what it gets with it
        before = len(peers[0].encode_requests())
        with ThreadPoolExecutor(1) as pool:
            rows = pool.submit(lambda: rows_of(client.encode_stream(TEXTS * 4, batch_size=10)))
            peers[0].wait_for(before + 3)
            peers[0].close()
            np.testing.assert_array_equal(rows.result(), vectors(TEXTS * 4))


def test_one_that_is_not_there_yet_joins_later(peers: list[PeerServer]) -> None:
    port, port_out = free_ports(2)
    with BertClient(endpoints=[f"127.0.0.1:{port}:{port_out}", *where(peers[0])]) as client:
        np.testing.assert_array_equal(client.encode(TEXTS), vectors(TEXTS))
        with PeerServer(port=port, port_out=port_out) as late:
            while not late.encode_requests():
                list(client.encode_stream(TEXTS, batch_size=50))


def test_without_any_the_error_names_all(peers: list[PeerServer]) -> None:
    ports = free_ports(2)
    with pytest.raises(ConnectFailed, match=rf"none of 2 servers.*{ports[0]}.*{ports[1]}"):
        BertClient(endpoints=[f"127.0.0.1:{port}:{port + 1}" for port in ports], connect_timeout=300)
    with BertClient(endpoints=where(*peers[:2]), connect_timeout=300) as client:
        for peer in peers:
            peer.close()
        with pytest.raises(ConnectFailed, match="none of 2 servers"):
            client.encode(TEXTS)


def test_one_that_would_give_other_vectors_is_left_out(
    peers: list[PeerServer], caplog: pytest.LogCaptureFixture
) -> None:
    peers[1].is_mute = True  # so that the other is the first
    with BertClient(endpoints=where(*peers[:2])) as client:
        peers[1].config["max_seq_len"] = 64
        peers[1].is_mute = False
        while not caplog.records:
            list(client.encode_stream(TEXTS, batch_size=10))
    assert not peers[1].encode_requests()
    assert "max_seq_len=64" in caplog.text


def test_errors_are_those_of_one_server(peers: list[PeerServer]) -> None:
    def fail(peer: PeerServer, request: EncodeRequest) -> list[Any]:
        return [encode_error_reply(request.identity, request.request_id, RowFailed("it is bad", 0))]

    with BertClient(endpoints=where(*peers)) as client:
        for peer in peers:
            peer.answer = fail
        with pytest.raises(RowFailed, match="it is bad"):
            client.encode(["a"])
        with pytest.raises(InvalidInputValue):
            client.encode([" "])
        for peer in peers:
            peer.answer = answer_rows
        np.testing.assert_array_equal(client.encode(["b"]), vectors(["b"]))
        with pytest.raises(NotImplementedError, match="several servers"):
            next(client.listen())
        assert client.status["num_pending_request"] == 0


def test_ids_ascend_over_all(peers: list[PeerServer]) -> None:
    with BertClient(endpoints=where(*peers)) as client:
        for number in range(20):
            client.encode([f"text {number}"], blocking=False)
        np.testing.assert_array_equal(client.fetch_all(concat=True), vectors(TEXTS[:20]))
        responses = list(client.encode_async([text] for text in TEXTS[:20]))
        responses.sort(key=lambda response: response.id)
        np.testing.assert_array_equal(np.concatenate([one.embedding for one in responses]), vectors(TEXTS[:20]))
        assert client.server_config["max_seq_len"] == 25


def test_closing_fails_what_waits(peers: list[PeerServer]) -> None:
    for peer in peers:
        peer.answer = answer_nothing
    client = BertClient(endpoints=where(*peers))
    client.encode(["a"], blocking=False)
    client.close()
    with pytest.raises(ClientClosed):
        client.fetch_all()
    with pytest.raises(ClientClosed):
        client.encode(["a"])


async def test_streams_of_asyncio(peers: list[PeerServer]) -> None:
    async with AsyncBertClient(endpoints=where(*peers)) as client:
        parts = [part async for part in client.encode_stream(TEXTS, batch_size=7)]
    np.testing.assert_array_equal(rows_of(parts), vectors(TEXTS))


def test_how_servers_are_named() -> None:
    assert checked_endpoints("a", 1, 2, None) == [Endpoint("a", 1, 2)]
    assert checked_endpoints(["a", "b"], 1, 2, None) == [Endpoint("a", 1, 2), Endpoint("b", 1, 2)]
    assert checked_endpoints("unused", 1, 2, ["a", "[::1]:3:4"]) == [Endpoint("a", 1, 2), Endpoint("::1", 3, 4)]
    for wrong, reason in (
        ("a:1:2", "must be a list"),
        ([], "is empty"),
        (["a:1"], "HOST:PORT:PORT_OUT"),
        (["a:1:70000"], "between 1 and 65535"),
        (["a", "a"], "twice"),
        ([1], "must be a str"),
    ):
        with pytest.raises((TypeError, ValueError), match=reason):
            checked_endpoints("localhost", 1, 2, wrong)  # type: ignore[arg-type]
