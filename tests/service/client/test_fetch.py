"""Requests whose answers are taken later: fetch, fetch_all, encode_async, and listen."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from peer_server import Frames, PeerServer, answer_nothing, answer_rows, vectors

from bert_serving.client import BertClient, ClientClosed, RequestTimeout, Response, RowFailed
from bert_serving.client.sync import ASYNC_WINDOW
from bert_serving.client.wire import EncodeRequest, encode_error_reply


def batches(num: int) -> list[list[str]]:
    return [[f"batch {index} row {row}" for row in range(1 + index % 3)] for index in range(num)]


def assert_answers(responses: list[Response], sent: list[list[str]], first_id: int = 2) -> None:
    by_id = {response.id: response.embedding for response in responses}
    assert sorted(by_id) == list(range(first_id, first_id + len(sent)))
    for request_id, texts in enumerate(sent, start=first_id):
        np.testing.assert_array_equal(by_id[request_id], vectors(texts))


class Backwards:
    """Answers `num` requests once all are there, the last one first."""

    def __init__(self, num: int) -> None:
        self._num = num
        self._held: list[EncodeRequest] = []

    def __call__(self, peer: PeerServer, request: EncodeRequest) -> list[Frames]:
        self._held.append(request)
        if len(self._held) < self._num:
            return []
        return [answer_rows(peer, held)[0] for held in reversed(self._held)]


def test_fetch_yields_as_they_arrive(peer: PeerServer) -> None:
    peer.answer = Backwards(5)
    with BertClient(**peer.ports) as client:
        for texts in batches(5):
            assert client.encode(texts, blocking=False) is None
        responses = list(client.fetch())
        assert [response.id for response in responses] == [6, 5, 4, 3, 2]
        assert responses[0].tokens == [text.split() for text in batches(5)[-1]]
        assert_answers(responses, batches(5))
        assert list(client.fetch()) == []


def test_fetch_all(peer: PeerServer) -> None:
    with BertClient(**peer.ports) as client:
        assert client.fetch_all() is None
        for sort, concat in [(True, True), (True, False), (False, False)]:
            peer.answer = Backwards(3)
            for texts in batches(3):
                client.encode(texts, blocking=False)
            fetched = client.fetch_all(sort=sort, concat=concat)
            expected = [vectors(texts) for texts in batches(3)]
            if concat:
                np.testing.assert_array_equal(fetched, np.concatenate(expected))
            else:
                for rows, wanted in zip(fetched, expected if sort else expected[::-1], strict=True):
                    np.testing.assert_array_equal(rows, wanted)


def test_blocking_calls_in_between(peer: PeerServer) -> None:
    with BertClient(**peer.ports) as client:
        client.encode(["later"], blocking=False)
        np.testing.assert_array_equal(client.encode(["now"]), vectors(["now"]))
        assert client.status["pending_request"] == [2]
        assert_answers(list(client.fetch()), [["later"]])


def test_many_before_the_first_fetch(peer: PeerServer) -> None:
    """More than any high-water mark would let pass."""
    with BertClient(**peer.ports) as client:
        for index in range(5_000):
            client.encode([f"text {index}"], blocking=False)
        assert_answers(list(client.fetch()), [[f"text {index}"] for index in range(5_000)])


def test_one_that_fails_does_not_lose_the_others(peer: PeerServer) -> None:
    def answer(peer: PeerServer, request: EncodeRequest) -> list[Frames]:
        if request.texts != ["poison"]:
            return answer_rows(peer, request)
        return [encode_error_reply(request.identity, request.request_id, RowFailed("no", 0))]

    peer.answer = answer
    with BertClient(**peer.ports) as client:
        for texts in (["poison"], ["a"], ["b"]):
            client.encode(texts, blocking=False)
        with pytest.raises(RowFailed):
            next(client.fetch())
        assert_answers(list(client.fetch()), [["a"], ["b"]], first_id=3)


def test_fetch_times_out_and_can_go_on(peer: PeerServer) -> None:
    peer.answer = answer_nothing
    with BertClient(**peer.ports, timeout=100) as client:
        client.encode(["slow"], blocking=False)
        with pytest.raises(RequestTimeout):
            list(client.fetch())
        peer.publish(answer_rows(peer, peer.wait_for(num_encode=1)[0])[0])
        client.timeout = 20_000
        assert_answers(list(client.fetch()), [["slow"]])


# -- encode_async -----------------------------------------------------------------------------------------------------


def test_encode_async(peer: PeerServer) -> None:
    with BertClient(**peer.ports) as client:
        assert_answers(list(client.encode_async(iter(batches(500)), delay=0)), batches(500))


def test_encode_async_stops_after_max_num_batch(peer: PeerServer) -> None:
    def endless() -> Iterator[list[str]]:
        yield from batches(3)
        raise AssertionError("one batch too many was asked for")

    with BertClient(**peer.ports) as client:
        assert_answers(list(client.encode_async(endless(), max_num_batch=3, delay=0)), batches(3))


def test_encode_async_of_tokens(peer: PeerServer) -> None:
    with BertClient(**peer.ports) as client:
        (response,) = client.encode_async([[["a", "b"]]], delay=0, is_tokenized=True, show_tokens=True)
        assert response.tokens == [["a", "b"]]
        with pytest.raises(TypeError, match="blocking"):
            client.encode_async([["a"]], blocking=True)


def test_a_slow_generator_does_not_end_it_early(peer: PeerServer) -> None:
    """Each batch is made only after the reply to the one before was taken; the timeout is not for the generator."""
    may_go_on = threading.Semaphore(0)

    def slow() -> Iterator[list[str]]:
        for texts in batches(20):
            yield texts
            assert may_go_on.acquire(timeout=20)

    with BertClient(**peer.ports, timeout=20_000) as client:
        responses = []
        for response in client.encode_async(slow(), delay=0):
            responses.append(response)
            may_go_on.release()
        assert_answers(responses, batches(20))


def test_a_failing_generator_is_heard_of(peer: PeerServer) -> None:
    def failing() -> Iterator[list[str]]:
        yield from batches(3)
        raise KeyError("no more")

    with BertClient(**peer.ports) as client:
        encoded = client.encode_async(failing(), delay=0)
        assert_answers([next(encoded) for _ in range(3)], batches(3))
        with pytest.raises(KeyError, match="no more"):
            next(encoded)


def test_a_bad_batch_is_heard_of(peer: PeerServer) -> None:
    with BertClient(**peer.ports) as client, pytest.raises(ValueError, match=r"texts\[0\] must not be blank"):
        list(client.encode_async([["fine"], [" "]], delay=0))


def test_a_failed_batch_is_heard_of(peer: PeerServer) -> None:
    def answer(peer: PeerServer, request: EncodeRequest) -> list[Frames]:
        return [encode_error_reply(request.identity, request.request_id, RowFailed("no", 0))]

    peer.answer = answer
    with BertClient(**peer.ports) as client, pytest.raises(RowFailed):
        list(client.encode_async(iter(batches(5)), delay=0))


def test_the_generator_is_never_far_ahead(peer: PeerServer) -> None:
    num_made = 0

    def counted() -> Iterator[list[str]]:
        nonlocal num_made
        for texts in batches(500):
            num_made += 1
            yield texts

    with BertClient(**peer.ports) as client:
        for num_taken, _ in enumerate(client.encode_async(counted(), delay=0), start=1):
            assert num_made <= num_taken + ASYNC_WINDOW + 1
    assert num_made == 500


def test_a_consumer_that_leaves_stops_the_producer(peer: PeerServer) -> None:
    ended = threading.Event()

    def endless() -> Iterator[list[str]]:
        try:
            while True:
                yield ["a text"]
        finally:
            ended.set()

    with BertClient(**peer.ports) as client:
        for _ in client.encode_async(endless(), delay=0):
            break
        assert ended.wait(20)
        ended.clear()
        client.encode_async(endless(), delay=0)  # never started
        assert ended.wait(20)


def test_fetch_and_encode_async_do_not_mix(peer: PeerServer) -> None:
    with BertClient(**peer.ports) as client:
        client.encode(["mine"], blocking=False)
        assert_answers(list(client.encode_async(batches(10), delay=0)), batches(10), first_id=3)
        assert_answers(list(client.fetch()), [["mine"]])


# -- listen -----------------------------------------------------------------------------------------------------------


def test_clones_listen(peer: PeerServer) -> None:
    with (
        BertClient(**peer.ports, identity="shared") as speaker,
        BertClient(**peer.ports, identity="shared") as first,
        BertClient(**peer.ports, identity="shared") as second,
    ):
        listened: list[Any] = [first.listen(timeout=20_000), second.listen(timeout=20_000)]
        np.testing.assert_array_equal(speaker.encode(["to all"]), vectors(["to all"]))
        for responses in listened:
            response = next(responses)
            assert response.id == 2
            np.testing.assert_array_equal(response.embedding, vectors(["to all"]))
        assert first.status["num_pending_request"] == 0


def test_listen_ends(peer: PeerServer) -> None:
    client = BertClient(**peer.ports)
    assert list(client.listen(timeout=1)) == []
    listened = client.listen()
    ended = threading.Thread(target=lambda: list(listened))
    ended.start()
    client.close()
    ended.join(timeout=20)
    assert not ended.is_alive()
    with pytest.raises(ClientClosed):
        client.listen()


def test_own_late_replies_are_not_for_listeners(peer: PeerServer) -> None:
    peer.answer = answer_nothing
    with BertClient(**peer.ports, timeout=1) as client:
        listened = client.listen(timeout=20_000)
        with pytest.raises(RequestTimeout):
            client.encode(["slow"])
        (late,) = peer.wait_for(num_encode=1)
        foreign = EncodeRequest(late.identity, b"77", ["foreign"])
        for request in (late, foreign):
            peer.publish(answer_rows(peer, request)[0])
        assert next(listened).id == 77
