"""A server whose ventilator was started again says so for each request that it had: they are asked again, twice."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from peer_server import Answer, Frames, PeerServer, Request, answer_rows, vectors

from bert_serving.client import AsyncBertClient, BertClient, ServerError, ServerRestarted
from bert_serving.client.pending import MOST_RESTARTS, Asked, Kind, Pending
from bert_serving.client.wire import (
    CommandRequest,
    EncodeRequest,
    ErrorReply,
    Reply,
    RowsReply,
    encode_error_reply,
    encode_rows_reply,
)

TEXTS = ["First do it", "then do it right"]


def restarted(request: Request) -> Frames:
    error = ServerRestarted("the ventilator was started again while it had this request: ask again")
    return encode_error_reply(request.identity, request.request_id, error)


def after_restarts(number: int) -> Answer:
    """Answers each request with that many errors first, and with rows then."""
    asked: Counter[bytes] = Counter()

    def answer(peer: PeerServer, request: EncodeRequest) -> list[Frames]:
        asked[request.request_id] += 1
        return [restarted(request)] if asked[request.request_id] <= number else answer_rows(peer, request)

    return answer


def test_it_travels() -> None:
    error = ServerError.from_wire(ServerRestarted("again").to_wire())
    assert type(error) is ServerRestarted
    assert isinstance(error, ConnectionError)


# -- the decision -----------------------------------------------------------------------------------------------------


def rows(request_id: int) -> Reply:
    return RowsReply(b"me", request_id, np.zeros((1, 2), np.float32), None, [], None)


def error_of(request_id: int) -> ErrorReply:
    return ErrorReply(b"me", request_id, ServerRestarted("again"))


def ask(pending: Pending) -> Asked:
    return pending.ask(Kind.ROWS, lambda _: [])


def test_two_restarts_are_asked_again_and_the_third_is_told() -> None:
    pending = Pending()
    asked, other = ask(pending), ask(pending)
    for _ in range(MOST_RESTARTS):
        assert pending.take_restart(error_of(1)) is asked
    assert pending.take_restart(error_of(1)) is None
    assert isinstance(asked.future.exception(timeout=0), ServerRestarted)
    assert not other.future.done()
    assert pending.take_restart(error_of(2)) is other


def test_a_restart_counts_whether_or_not_a_lost_connection_asked_again_before() -> None:
    pending = Pending()
    asked = ask(pending)
    asked.is_repeated = True
    assert pending.take_restart(error_of(1)) is asked
    assert pending.take_restart(error_of(1)) is asked
    assert pending.take_restart(error_of(1)) is None


@pytest.mark.parametrize("give_up", [True, False])
def test_an_error_for_what_has_its_answer_says_nothing(give_up: bool) -> None:
    pending = Pending()
    listener = pending.listen()
    asked = ask(pending)
    asked.is_repeated = True
    if give_up:
        asked.future.cancel()
    else:
        pending.settle(rows(1))
    assert pending.take_restart(error_of(1)) is None
    pending.settle(rows(1))  # late: the error has not used up that one may come
    assert listener.take(0) is None
    pending.settle(rows(1))  # of a clone
    assert listener.take(0) is not None


def test_each_time_that_it_was_asked_may_bring_an_answer() -> None:
    pending = Pending()
    listener = pending.listen()
    asked = ask(pending)
    for _ in range(MOST_RESTARTS):
        assert pending.take_restart(error_of(1)) is asked
        asked.is_repeated = True
    for _ in range(1 + 1 + MOST_RESTARTS):
        pending.settle(rows(1))
    assert asked.future.done()
    assert listener.take(0) is None
    pending.settle(rows(1))
    assert listener.take(0) is not None


def test_ids_may_start_elsewhere() -> None:
    pending = Pending(first_id=1 << 62)
    assert pending.num_asked == 0
    assert [ask(pending).request_id for _ in range(2)] == [1 << 62, (1 << 62) + 1]
    assert (pending.num_asked, pending.last_id) == (2, (1 << 62) + 1)


# -- clients ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [1, 2])
def test_encode_has_its_rows_after_restarts(peer: PeerServer, number: int) -> None:
    peer.answer = after_restarts(number)
    with BertClient(**peer.ports, timeout=20_000) as client:
        np.testing.assert_array_equal(client.encode(TEXTS), vectors(TEXTS))
        assert client.status["num_pending_request"] == 0
    assert len(peer.encode_requests()) == 1 + number
    sent = [frames[:3] for frames in peer.raw_requests if frames[1].startswith(b"[")]
    assert all(frames == sent[0] for frames in sent)  # same identity, texts and id


@pytest.mark.parametrize("use", [lambda client: client.encode(TEXTS), lambda client: list(client.encode_stream(TEXTS))])
def test_a_request_that_ends_its_server_each_time_is_given_up(peer: PeerServer, use: Callable[[Any], Any]) -> None:
    peer.answer = after_restarts(100)
    with BertClient(**peer.ports, timeout=20_000) as client:
        with pytest.raises(ServerRestarted, match="ask again"):
            use(client)
        assert len(peer.encode_requests()) == 1 + MOST_RESTARTS
        peer.answer = answer_rows
        np.testing.assert_array_equal(client.encode(TEXTS), vectors(TEXTS))


def test_an_answer_and_an_error_make_one_result(peer: PeerServer) -> None:
    """In either order, and nobody who listens hears of it."""

    def both(peer: PeerServer, request: EncodeRequest) -> list[Frames]:
        frames = [restarted(request), *answer_rows(peer, request)]
        return frames if len(peer.encode_requests()) % 2 else frames[::-1]

    peer.answer = both
    with BertClient(**peer.ports, timeout=20_000) as client:
        heard = client.listen(timeout=300)
        for _ in range(4):
            np.testing.assert_array_equal(client.encode(TEXTS), vectors(TEXTS))
        assert client.server_status  # all before it has come
        assert list(heard) == []


def test_others_of_the_same_identity_are_heard_meanwhile(peer: PeerServer) -> None:
    with BertClient(**peer.ports, identity="me", timeout=20_000) as client:
        heard = client.listen(timeout=20_000)
        peer.publish(encode_error_reply(b"me", b"77", ServerRestarted("again")))
        peer.publish(encode_rows_reply(b"me", b"77", vectors(TEXTS)))
        assert next(iter(heard)).id == 77
        assert peer.encode_requests() == []


async def test_the_client_for_asyncio(peer: PeerServer) -> None:
    peer.answer = after_restarts(2)
    async with AsyncBertClient(**peer.ports, timeout=20_000) as client:
        answers = await asyncio.gather(*(client.encode([f"text {number}"]) for number in range(20)))
        for number, answer in enumerate(answers):
            np.testing.assert_array_equal(answer, vectors([f"text {number}"]))
        peer.answer = after_restarts(3)
        with pytest.raises(ServerRestarted):
            await client.encode(TEXTS)


class Forgetful(PeerServer):
    """Answers so many commands with an error first."""

    def __init__(self, number: int) -> None:
        self.number = number
        super().__init__()

    def _replies(self, request: Request) -> list[Frames]:
        if isinstance(request, CommandRequest) and self.number:
            self.number -= 1
            return [restarted(request)]
        return super()._replies(request)


@pytest.mark.parametrize("number", [1, 2, 7])
def test_a_handshake_survives_any_number(number: int) -> None:
    with Forgetful(number) as peer, BertClient(**peer.ports, connect_timeout=20_000) as client:
        np.testing.assert_array_equal(client.encode(TEXTS), vectors(TEXTS))


@pytest.mark.parametrize("number", [2, 3])
def test_commands_are_asked_again_twice(number: int) -> None:
    peer = Forgetful(0)
    with peer, BertClient(**peer.ports, timeout=20_000) as client:
        peer.number = number
        if number > MOST_RESTARTS:
            with pytest.raises(ServerRestarted):
                assert client.server_status
        else:
            assert "statistic" in client.server_status
