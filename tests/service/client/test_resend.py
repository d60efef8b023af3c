"""What is asked again: what is in doubt, ever more rarely, and no texts of a server that would compute them twice."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from peer_server import Frames, PeerServer, answer_nothing, answer_rows, vectors

from bert_serving.client import BertClient, resend
from bert_serving.client.resend import BYTES_A_SECOND, FIRST_WAIT_S, Resend
from bert_serving.client.wire import EncodeRequest


def test_what_is_in_doubt_comes_again_ever_more_rarely() -> None:
    doubts = Resend()
    doubts.sent(1, size=0, now_s=0)
    sent_s = []
    for now_s in range(100):
        if doubts.take_due(now_s):
            doubts.sent(1, size=0, now_s=now_s)
            sent_s.append(now_s / FIRST_WAIT_S)
    assert sent_s == [1, 3, 7, 15, 31]
    doubts.forget(1)
    assert doubts.next_s == float("inf")


def test_a_large_request_waits_longer() -> None:
    doubts = Resend()
    doubts.sent(1, size=100 * BYTES_A_SECOND, now_s=0)
    assert doubts.next_s == 100 + FIRST_WAIT_S


def test_nothing_is_in_doubt_once_a_question_on_this_connection_is_answered() -> None:
    doubts = Resend()
    doubts.sent(1, size=0, now_s=0)
    doubts.heard(1)
    doubts.sent(2, size=0, now_s=0)
    assert doubts.take_due(1000) == [1]
    doubts.connected_anew(last_id=2)
    assert doubts.take_due(1000) == []
    doubts.sent(2, size=0, now_s=1000)
    doubts.heard(2)  # it may have come by the connection before
    doubts.sent(3, size=0, now_s=1000)
    doubts.heard(3)
    doubts.sent(4, size=0, now_s=1000)
    assert doubts.take_due(2000) == [2, 3]


def test_a_busy_server_says_when() -> None:
    doubts = Resend()
    doubts.sent(1, size=0, now_s=0)
    doubts.heard(1)
    doubts.put_off(1, due_s=50)
    assert doubts.take_due(49) == []
    assert doubts.take_due(50) == [1]
    doubts.sent(1, size=0, now_s=50)
    assert doubts.next_s == float("inf")


# -- a client ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def impatience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resend, "FIRST_WAIT_S", 0.02)


def test_a_server_that_remembers_is_asked_again(peer: PeerServer, impatience: None) -> None:
    def answer(peer: PeerServer, request: EncodeRequest) -> list[Frames]:
        """The first two are lost on the way."""
        return answer_rows(peer, request) if len(peer.encode_requests()) >= 3 else []

    peer.answer = answer
    with BertClient(**peer.ports, ignore_all_checks=True, timeout=20_000) as client:
        np.testing.assert_array_equal(client.encode(["a"]), vectors(["a"]))
        assert client.status["num_pending_request"] == 0
        assert {request.request_id for request in peer.encode_requests()} == {b"1"}


def test_a_server_of_1_10_is_not(peer: PeerServer, impatience: None) -> None:
    """It would put rows of both into one array."""
    peer.answer = answer_nothing
    peer.is_mute = True
    with BertClient(**peer.ports, ignore_all_checks=True, timeout=20_000) as client, ThreadPoolExecutor(1) as threads:
        call = threads.submit(client.encode, ["a"])
        (request,) = peer.wait_for(num_encode=1, num_all=2)  # the second asks what kind of server it is
        peer.publish([request.identity, b"{}", b"99"])  # this kind
        peer.wait_for(num_encode=1, num_all=len(peer.requests) + 3)  # the question comes again, the texts do not
        peer.publish([request.identity, *answer_rows(peer, request)[0][1:]])
        np.testing.assert_array_equal(call.result(timeout=20), vectors(["a"]))
        assert len(peer.encode_requests()) == 1


def test_what_is_not_in_doubt_is_asked_once(peer: PeerServer, impatience: None) -> None:
    peer.answer = answer_nothing
    with BertClient(**peer.ports, timeout=20_000) as client, ThreadPoolExecutor(1) as threads:
        call = threads.submit(client.encode, ["a"])
        (request,) = peer.wait_for(num_encode=1)
        for _ in range(100):  # far longer than a doubt would wait
            assert client.server_config
        peer.publish(answer_rows(peer, request)[0])
        np.testing.assert_array_equal(call.result(timeout=20), vectors(["a"]))
        assert len(peer.encode_requests()) == 1
