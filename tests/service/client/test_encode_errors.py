"""What BertClient.encode raises and warns of: versions, lengths, errors of the server, broken replies, timeouts."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from peer_server import CONFIG, Frames, PeerServer, answer_nothing, answer_rows, vectors

from bert_serving.client import (
    BertClient,
    MalformedMessage,
    RequestTimeout,
    RowFailed,
    TruncationWarning,
    VersionMismatch,
)
from bert_serving.client.wire import EncodeRequest, encode_error_reply, encode_json_reply, encode_rows_reply, topic

TEXTS = ["First do it", "then do it right", "then do it better"]


# -- versions and lengths ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("config", [{"server_version": "1.10.0"}, {"server_version": "1.10.7"}, {"protocol": 3}])
def test_accepts(config: dict[str, Any]) -> None:
    with PeerServer(config={"max_seq_len": None, **config}) as peer, BertClient(**peer.ports) as client:
        np.testing.assert_array_equal(client.encode(TEXTS), vectors(TEXTS))


def test_refuses_another_version() -> None:
    with PeerServer(config={"server_version": "1.9.9", "max_seq_len": 25}) as peer:
        with pytest.raises(VersionMismatch, match=r"version 1\.9\.9;"):
            BertClient(**peer.ports)
        BertClient(**peer.ports, check_version=False).close()


def test_warns_of_what_the_server_cut(peer: PeerServer) -> None:
    def answer(peer: PeerServer, request: EncodeRequest) -> list[Frames]:
        return [encode_rows_reply(request.identity, request.request_id, vectors(request.texts), truncated=[0, 2])]

    peer.answer = answer
    with BertClient(**peer.ports) as client:
        with pytest.warns(TruncationWarning, match=r"2 of 3 texts .*max_seq_len=25.*indices 0, 2\)") as warned:
            client.encode(TEXTS)
        assert warned[0].filename == __file__
        client.encode(TEXTS, blocking=False)
        with pytest.warns(TruncationWarning, match="2 of 3"):
            client.fetch_all()
    with BertClient(**peer.ports, check_length=False) as client:
        client.encode(TEXTS)


def test_guesses_for_a_server_of_1_10() -> None:
    with PeerServer(config={"server_version": "1.10.0", "max_seq_len": 5}) as peer, BertClient(**peer.ports) as client:
        client.encode(TEXTS)
        with pytest.warns(TruncationWarning, match=r"1 of 2 .*max_seq_len=5.*indices 1\)"):
            client.encode(["short", "这是一个很长的句子"])


# -- errors -----------------------------------------------------------------------------------------------------------


def test_errors_of_the_server_are_typed(peer: PeerServer) -> None:
    def answer(peer: PeerServer, request: EncodeRequest) -> list[Frames]:
        texts: Sequence[Any] = request.texts
        if "poison" not in texts:
            return answer_rows(peer, request)
        error = RowFailed("cannot be encoded", texts.index("poison"))
        return [encode_error_reply(request.identity, request.request_id, error)]

    peer.answer = answer
    with BertClient(**peer.ports) as client:
        with pytest.raises(RowFailed, match="cannot be encoded") as raised:
            client.encode(["fine", "poison"])
        assert raised.value.index == 1
        np.testing.assert_array_equal(client.encode(["fine"]), vectors(["fine"]))


def test_a_reply_that_cannot_be_read_fails_its_request(peer: PeerServer) -> None:
    def answer(peer: PeerServer, request: EncodeRequest) -> list[Frames]:
        header = b'{"dtype":"float32","shape":[9,9],"tokens":""}'
        foreign = [topic(request.identity) + b"x", b"no json", b"", b"17"]
        return [
            foreign,
            [topic(request.identity), b"{}"],
            [topic(request.identity), header, b"1234", request.request_id],
        ]

    peer.answer = answer
    with BertClient(**peer.ports) as client:
        with pytest.raises(MalformedMessage, match="array"):
            client.encode(TEXTS)
        assert client.status["num_pending_request"] == 0


def test_config_of_a_clone_does_not_answer_an_encode(peer: PeerServer) -> None:
    def answer(peer: PeerServer, request: EncodeRequest) -> list[Frames]:
        return [encode_json_reply(request.identity, request.request_id, CONFIG), *answer_rows(peer, request)]

    peer.answer = answer
    with BertClient(**peer.ports) as client:
        np.testing.assert_array_equal(client.encode(TEXTS), vectors(TEXTS))


# -- timeouts ---------------------------------------------------------------------------------------------------------


def test_timeout_bounds_the_whole_call(peer: PeerServer) -> None:
    """Replies to others that keep arriving must not prolong it."""

    def answer(peer: PeerServer, request: EncodeRequest) -> list[Frames]:
        return [] if request.texts == ["slow"] else answer_rows(peer, request)

    peer.answer = answer
    stopping = threading.Event()
    with BertClient(**peer.ports, timeout=200) as client:

        def keep_busy() -> None:
            while not stopping.is_set():
                with suppress(RequestTimeout):
                    client.encode(["fast"])

        busy = threading.Thread(target=keep_busy)
        busy.start()
        started_s = time.monotonic()
        with pytest.raises(RequestTimeout, match=f"localhost:{peer.port}:.*timeout=200 ms.*Try") as raised:
            client.encode(["slow"])
        assert time.monotonic() - started_s >= 0.2
        stopping.set()
        busy.join()
    assert isinstance(raised.value, TimeoutError)


def test_thousand_timeouts_leave_nothing(peer: PeerServer) -> None:
    peer.answer = answer_nothing
    with BertClient(**peer.ports, timeout=1) as client:
        for index in range(1_000):
            with pytest.raises(RequestTimeout):
                client.encode([f"text {index}"])
        assert client.status["num_pending_request"] == 0
        peer.answer = answer_rows
        client.timeout = 20_000
        client.encode(["the last"])
        for late in peer.encode_requests()[:-1]:  # less than a thousand: some were given up before they were sent
            peer.publish(answer_rows(peer, late)[0])
        np.testing.assert_array_equal(client.encode(TEXTS), vectors(TEXTS))
        assert client.status["pending_request"] == []
        assert list(client.fetch()) == []
