"""Streams: every text's vector once, in order, with a bounded number of batches under way."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import numpy as np
import pytest
from peer_server import PeerServer, answer_nothing, answer_rows, tokens, vectors

from bert_serving.client import (
    AsyncBertClient,
    BertClient,
    InvalidInputValue,
    RequestTimeout,
    RowFailed,
    TruncationWarning,
)
from bert_serving.client.wire import EncodeRequest, encode_error_reply, encode_rows_reply

TEXTS = [f"text {number}" for number in range(103)]
BAD = 40


def answer_all_but_one(peer: PeerServer, request: EncodeRequest) -> list[Any]:
    """The batch with text `BAD` fails."""
    if TEXTS[BAD] in request.texts:
        return [encode_error_reply(request.identity, request.request_id, RowFailed("it is bad", 0))]
    return answer_rows(peer, request)


async def later(texts: list[str]) -> AsyncIterator[str]:
    """The texts as an asynchronous iterable."""
    for text in texts:
        yield text


@pytest.mark.parametrize("batch_size", [1, 10, 103, 500])
def test_all_rows_come_in_order(peer: PeerServer, batch_size: int) -> None:
    with BertClient(**peer.ports) as client:
        parts = list(client.encode_stream(iter(TEXTS), batch_size=batch_size))
    assert [part.start for part in parts] == list(range(0, 103, batch_size))
    assert sum(part.count for part in parts) == 103
    np.testing.assert_array_equal(np.concatenate([part.embedding for part in parts]), vectors(TEXTS))


def test_texts_are_read_as_batches_are_taken(peer: PeerServer) -> None:
    read = 0

    def source() -> Iterator[str]:
        nonlocal read
        for text in TEXTS:
            read += 1
            yield text

    with BertClient(**peer.ports) as client:
        stream = client.encode_stream(source(), batch_size=5, max_in_flight=3)
        assert read == 0
        for taken in range(1, 10):
            next(stream)
            assert read <= 5 * (taken + 3)
        stream.close()
        assert client.status["num_pending_request"] == 0


def test_batches_may_come_out_of_order(peer: PeerServer) -> None:
    held: list[EncodeRequest] = []

    def answer_first_last(peer: PeerServer, request: EncodeRequest) -> list[Any]:
        if not held:
            held.append(request)
            return []
        out = answer_rows(peer, request)
        if len(peer.encode_requests()) == 4:
            out += answer_rows(peer, held[0])
        return out

    peer.answer = answer_first_last
    with BertClient(**peer.ports) as client:
        parts = list(client.encode_stream(TEXTS[:40], batch_size=10, max_in_flight=2, in_order=False))
    assert [part.start for part in parts[:2]] == [10, 20]  # the first one is answered together with the fourth
    assert {part.start for part in parts} == {0, 10, 20, 30}
    for part in parts:
        np.testing.assert_array_equal(part.embedding, vectors(TEXTS[part.start : part.start + 10]))


@pytest.mark.parametrize("in_order", [True, False])
def test_errors_stay_in_their_batch_if_they_are_kept(peer: PeerServer, in_order: bool) -> None:
    peer.answer = answer_all_but_one
    texts = [*TEXTS[:95], " ", *TEXTS[96:]]
    with BertClient(**peer.ports) as client:
        parts = {p.start: p for p in client.encode_stream(texts, batch_size=10, in_order=in_order, keep_errors=True)}
        assert isinstance(parts[40].error, RowFailed)
        assert isinstance(parts[90].error, InvalidInputValue)
        assert [start for start, part in parts.items() if part.embedding is None] in ([40, 90], [90, 40])
        with pytest.raises(RowFailed, match="it is bad"):
            list(client.encode_stream(texts, batch_size=10))


def test_a_batch_has_the_timeout_of_a_call(peer: PeerServer) -> None:
    with BertClient(timeout=200, **peer.ports) as client:
        peer.answer = answer_nothing
        with pytest.raises(RequestTimeout):
            next(client.encode_stream(TEXTS))


def test_what_the_source_raises_comes_through(peer: PeerServer) -> None:
    def source() -> Iterator[str]:
        yield from TEXTS[:30]
        raise OSError("the disk")

    with BertClient(**peer.ports) as client, pytest.raises(OSError, match="the disk"):
        list(client.encode_stream(source(), batch_size=10))


@pytest.mark.parametrize("wrong", [{"batch_size": 0}, {"max_in_flight": 0}])
async def test_sizes_must_be_above_zero(peer: PeerServer, wrong: dict[str, Any]) -> None:
    with BertClient(**peer.ports) as client, pytest.raises(ValueError, match="must be at least 1"):
        list(client.encode_stream(TEXTS, **wrong))
    async with AsyncBertClient(**peer.ports) as asynchronous:
        for texts in (TEXTS, later(TEXTS)):
            with pytest.raises(ValueError, match="must be at least 1"):
                [part async for part in asynchronous.encode_stream(texts, **wrong)]


def test_a_bar_shows_progress(peer: PeerServer, capsys: pytest.CaptureFixture[str]) -> None:
    texts = TEXTS * 10
    with BertClient(**peer.ports) as client:
        array, shown = client.encode(texts, show_tokens=True, show_progress=True)
    np.testing.assert_array_equal(array, vectors(texts))
    assert shown == tokens(texts)
    assert "1030/1030" in capsys.readouterr().err
    assert len(peer.encode_requests()) == 5


def test_what_is_said_of_a_text_names_its_place_in_the_whole_list(peer: PeerServer) -> None:
    def answer(peer: PeerServer, request: EncodeRequest) -> list[Any]:
        if "bad" in request.texts:
            index = [*request.texts].index("bad")
            return [encode_error_reply(request.identity, request.request_id, RowFailed(f"text {index} is bad", index))]
        truncated = [index for index, text in enumerate(request.texts) if text == "long"]
        return [encode_rows_reply(request.identity, request.request_id, vectors(request.texts), truncated=truncated)]

    peer.answer = answer
    texts = ["short"] * 300 + ["long"] + ["short"] * 300
    with BertClient(**peer.ports) as client:
        with pytest.warns(TruncationWarning, match="300"):
            client.encode(texts, show_progress=True)
        with pytest.raises(RowFailed, match="in the batch from text 256: text 46 is bad") as caught:
            client.encode([*texts[:302], "bad"], show_progress=True)
    assert caught.value.index == 302


def test_cut_texts_are_named_in_each_batch_and_warned_of_once(peer: PeerServer) -> None:
    def answer(peer: PeerServer, request: EncodeRequest) -> list[Any]:
        return [encode_rows_reply(request.identity, request.request_id, vectors(request.texts), truncated=[1])]

    peer.answer = answer
    with BertClient(**peer.ports) as client, pytest.warns(TruncationWarning) as warned:
        parts = list(client.encode_stream(TEXTS[:30], batch_size=10))
    assert [part.truncated for part in parts] == [[1], [1], [1]]
    assert len(warned) == 1


def test_matrices_of_batches_are_padded_to_the_longest(peer: PeerServer) -> None:
    def answer_matrices(peer: PeerServer, request: EncodeRequest) -> list[Any]:
        length = 3 if len(peer.encode_requests()) == 1 else 5
        array = np.ones((len(request.texts), length, 2), np.float32)
        return [encode_rows_reply(request.identity, request.request_id, array)]

    peer.answer = answer_matrices
    with BertClient(**peer.ports) as client:
        array = client.encode(TEXTS * 3, show_progress=True)
    assert array.shape == (309, 5, 2)
    assert (array[:256, 3:] == 0).all()
    assert array[256:].all()


@pytest.mark.parametrize("is_async", [False, True])
async def test_streams_of_asyncio(peer: PeerServer, is_async: bool) -> None:
    async with AsyncBertClient(**peer.ports) as client:
        given = later(TEXTS) if is_async else TEXTS
        parts = [part async for part in client.encode_stream(given, batch_size=10, max_in_flight=3)]
        np.testing.assert_array_equal(np.concatenate([part.embedding for part in parts]), vectors(TEXTS))
        peer.answer = answer_all_but_one
        kept = [part async for part in client.encode_stream(TEXTS, batch_size=10, in_order=False, keep_errors=True)]
        assert [part.start for part in kept if part.error is not None] == [BAD]
        with pytest.raises(RowFailed):
            [part async for part in client.encode_stream(TEXTS, batch_size=10)]
