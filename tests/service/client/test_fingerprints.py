"""Vectors of two models never meet: who expects a fingerprint gets vectors of that model, or an error with both."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import numpy as np
import pytest
from peer_server import CONFIG, Frames, PeerServer, vectors

from bert_serving.client import AsyncBertClient, BertClient, ModelMismatch
from bert_serving.client.errors import MalformedMessage
from bert_serving.client.wire import EncodeRequest, RowsReply, decode_reply, encode_rows_reply

TEXTS = [f"text {number}" for number in range(200)]
OURS, OTHER = "0" * 32, "f" * 32
BOTH = re.compile(f"{OTHER}.*{OURS}")


def become(peer: PeerServer, fingerprint: str) -> None:
    """From now on this server has that model."""

    def answer(peer: PeerServer, request: EncodeRequest) -> list[Frames]:
        rows = vectors(request.texts) + (0 if fingerprint == OURS else 1000)
        return [encode_rows_reply(request.identity, request.request_id, rows, fingerprint=fingerprint)]

    peer.answer = answer
    peer.config["model"] = {"fingerprint": fingerprint}


@pytest.fixture
def start() -> Iterator[Callable[[str], PeerServer]]:
    with ExitStack() as opened:

        def begin(fingerprint: str) -> PeerServer:
            peer = opened.enter_context(PeerServer())
            become(peer, fingerprint)
            return peer

        yield begin


def where(*peers: PeerServer) -> list[str]:
    return [f"127.0.0.1:{peer.port}:{peer.port_out}" for peer in peers]


def test_the_expected_model_serves(start: Callable[[str], PeerServer]) -> None:
    with BertClient(endpoints=where(start(OURS)), expect_fingerprint=OURS) as client:
        np.testing.assert_array_equal(client.encode(TEXTS), vectors(TEXTS))
        assert client.server_config["model"]["fingerprint"] == client.expect_fingerprint == OURS


@pytest.mark.parametrize("number", [1, 2])
def test_another_model_is_refused_at_once(start: Callable[[str], PeerServer], number: int) -> None:
    peers = [start(OTHER) for _ in range(number)]
    with pytest.raises(ModelMismatch, match=BOTH):
        BertClient(endpoints=where(*peers), expect_fingerprint=OURS)
    assert not any(peer.encode_requests() for peer in peers)


def test_a_server_that_sends_none_is_refused() -> None:
    with PeerServer() as peer, pytest.raises(ModelMismatch, match="too old to send the fingerprint"):
        BertClient(endpoints=where(peer), expect_fingerprint=OURS)


def by_encode(client: BertClient) -> Any:
    return client.encode(["a"])


def by_progress(client: BertClient) -> Any:
    return client.encode(["a"], show_progress=True)


def by_stream(client: BertClient) -> Any:
    return list(client.encode_stream(["a"]))


def by_fetch(client: BertClient) -> Any:
    client.encode(["a"], blocking=False)
    return client.fetch_all()


def by_encode_async(client: BertClient) -> Any:
    return list(client.encode_async([["a"]], delay=0))


@pytest.mark.parametrize("ask", [by_encode, by_progress, by_stream, by_fetch, by_encode_async])
def test_a_server_that_comes_back_with_another_model_gives_no_vector(
    start: Callable[[str], PeerServer], ask: Callable[[BertClient], Any]
) -> None:
    peer = start(OURS)
    with BertClient(endpoints=where(peer), expect_fingerprint=OURS) as client:
        ask(client)
        become(peer, OTHER)
        with pytest.raises(ModelMismatch, match=BOTH):
            ask(client)
        become(peer, OURS)
        ask(client)


def test_who_asked_nothing_of_the_server_is_told_by_its_answers(start: Callable[[str], PeerServer]) -> None:
    with BertClient(endpoints=where(start(OTHER)), ignore_all_checks=True, expect_fingerprint=OURS) as client:
        with pytest.raises(ModelMismatch, match=BOTH):
            client.encode(["a"])
        client.expect_fingerprint = None
        client.encode(["a"])


def what_is_heard(listener: BertClient, other: BertClient) -> Any:
    """An answer to the other one, once the listener's subscription is there."""
    while True:
        heard = listener.listen(timeout=50)
        other.encode(["a"])
        for response in heard:
            return response


def test_who_listens_is_told(start: Callable[[str], PeerServer]) -> None:
    peer = start(OTHER)
    arguments: dict[str, Any] = {"endpoints": where(peer), "identity": "both", "ignore_all_checks": True}
    with (
        BertClient(**arguments, expect_fingerprint=OURS) as listener,
        BertClient(**arguments) as other,
        pytest.raises(ModelMismatch, match=BOTH),
    ):
        what_is_heard(listener, other)


async def test_with_asyncio(start: Callable[[str], PeerServer]) -> None:
    peer = start(OURS)
    async with AsyncBertClient(endpoints=where(peer), expect_fingerprint=OURS) as client:
        await client.encode(["a"])
        become(peer, OTHER)
        with pytest.raises(ModelMismatch, match=BOTH):
            await client.encode(["a"])
    with pytest.raises(ModelMismatch, match=BOTH):
        await AsyncBertClient.connect(endpoints=where(peer), expect_fingerprint=OURS)


def test_of_several_servers_those_with_another_model_are_left_out(
    start: Callable[[str], PeerServer], caplog: pytest.LogCaptureFixture
) -> None:
    """Two servers whose options are alike, and whose models are not."""
    ours, other = start(OURS), start(OTHER)
    other.is_mute = True  # so that the other one is the first
    with BertClient(endpoints=where(ours, other)) as client:
        other.is_mute = False
        while not caplog.records:
            np.testing.assert_array_equal(client.encode(TEXTS), vectors(TEXTS))
    assert BOTH.search(caplog.text)
    assert not other.encode_requests()


def test_one_of_several_that_comes_back_with_another_model_is_left_out(start: Callable[[str], PeerServer]) -> None:
    peers = [start(OURS), start(OURS)]
    with BertClient(endpoints=where(*peers)) as client:
        while not all(peer.encode_requests() for peer in peers):
            list(client.encode_stream(TEXTS, batch_size=20))
        become(peers[0], OTHER)
        parts = list(client.encode_stream(TEXTS * 3, batch_size=20))
    np.testing.assert_array_equal(np.concatenate([part.embedding for part in parts]), vectors(TEXTS * 3))


@pytest.mark.parametrize("fingerprint", ["", 7, b"00", ["00"]])
def test_what_is_no_fingerprint_is_refused(fingerprint: Any) -> None:
    with pytest.raises(ValueError, match="expect_fingerprint must be a str"):
        BertClient(expect_fingerprint=fingerprint, ignore_all_checks=True)


@pytest.mark.parametrize("model", [None, "bert", [], {}, {"fingerprint": 7}, {"fingerprint": None}], ids=repr)
def test_a_config_that_names_no_model_is_that_of_an_old_server(model: Any) -> None:
    with PeerServer(config={**CONFIG, "model": model}) as peer:
        with BertClient(endpoints=where(peer)) as client:
            client.encode(["a"])
        with pytest.raises(ModelMismatch, match="too old to send the fingerprint"):
            BertClient(endpoints=where(peer), expect_fingerprint=OURS)


def test_on_the_wire() -> None:
    array = np.ones((1, 2), np.float32)
    reply = decode_reply([bytes(frame) for frame in encode_rows_reply(b"id", b"3", array, fingerprint=OURS)])
    assert isinstance(reply, RowsReply)
    assert reply.fingerprint == OURS
    header = b'{"dtype":"float32","shape":[1,2],"tokens":"","fingerprint":7}'
    with pytest.raises(MalformedMessage, match="fingerprint"):
        decode_reply([b"id\0", header, array.tobytes(), b"3"])
