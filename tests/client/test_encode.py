"""BertClient.encode and its neighbours against a peer that answers as told."""

from __future__ import annotations

import os
import threading
import time
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from peer_server import CONFIG, Frames, PeerServer, answer_nothing, answer_rows, vectors

from bert_serving.client import (
    BertClient,
    ClientClosed,
    MalformedMessage,
    RequestTimeout,
    RowFailed,
    TruncationWarning,
    VersionMismatch,
    __version__,
)
from bert_serving.client.wire import (
    EncodeRequest,
    encode_error_reply,
    encode_json_reply,
    encode_rows_reply,
    topic,
)

TEXTS = ["First do it", "then do it right", "then do it better"]


def num_fds() -> int:
    return len(os.listdir("/proc/self/fd"))


def test_rows(peer: PeerServer) -> None:
    with BertClient(**peer.ports) as client:
        array = client.encode(TEXTS)
        tokenized = client.encode([text.split() for text in TEXTS], is_tokenized=True)
    np.testing.assert_array_equal(array, vectors(TEXTS))
    np.testing.assert_array_equal(tokenized, vectors([text.split() for text in TEXTS]))
    requests = peer.encode_requests()
    assert [request.request_id for request in requests] == [b"2", b"3"]  # 1 asked for the config
    assert [request.is_tokenized for request in requests] == [False, True]
    assert [request.timeout_ms for request in requests] == [None, None]


@pytest.mark.parametrize("num_row", [1, 100, 10_000])  # inlined in a message, copied out of one, and kept in one
def test_arrays_are_writable(peer: PeerServer, num_row: int) -> None:
    with BertClient(**peer.ports) as client:
        array = client.encode(["a"] * num_row)
    assert array.flags.writeable
    assert array.flags.aligned
    array += 1
    np.testing.assert_array_equal(array, vectors(["a"] * num_row) + 1)


def test_lists(peer: PeerServer) -> None:
    with BertClient(**peer.ports, output_fmt="list") as client:
        assert client.encode(TEXTS) == vectors(TEXTS).tolist()
        client.encode(TEXTS[:1], blocking=False)
        client.encode(TEXTS[1:], blocking=False)
        assert client.fetch_all(concat=True) == vectors(TEXTS).tolist()


def test_tokens(peer: PeerServer) -> None:
    with BertClient(**peer.ports) as client:
        array, tokens = client.encode(TEXTS, show_tokens=True)
    assert tokens == [text.split() for text in TEXTS]
    np.testing.assert_array_equal(array, vectors(TEXTS))


def test_tokens_that_the_server_does_not_send() -> None:
    with PeerServer(config={**CONFIG, "show_tokens_to_client": False}) as peer, BertClient(**peer.ports) as client:
        with pytest.warns(UserWarning, match="-show_tokens_to_client") as warned:
            array = client.encode(TEXTS, show_tokens=True)
        assert warned[0].filename == __file__
        np.testing.assert_array_equal(array, vectors(TEXTS))


def test_config_and_status(peer: PeerServer) -> None:
    with BertClient(**peer.ports) as client:
        assert client.server_config == CONFIG
        client.encode(TEXTS)
        assert client.server_status["statistic"] == {"num_data_request": 1}


def test_own_status(peer: PeerServer) -> None:
    peer.answer = answer_nothing
    with BertClient(**peer.ports, identity="me", timeout=30_000) as client:
        client.encode(TEXTS, blocking=False)
        assert client.status == {
            "identity": b"me",
            "num_request": 2,
            "num_pending_request": 1,
            "pending_request": [2],
            "output_fmt": "ndarray",
            "port": peer.port,
            "port_out": peer.port_out,
            "server_ip": "localhost",
            "client_version": __version__,
            "timeout": 30_000,
        }


def test_shows_config(peer: PeerServer, capsys: pytest.CaptureFixture[str]) -> None:
    BertClient(**peer.ports, show_server_config=True, ignore_all_checks=False).close()
    assert "max_seq_len\t=\t25" in capsys.readouterr().out


def test_input_is_checked_before_anything_is_sent(peer: PeerServer) -> None:
    with BertClient(**peer.ports) as client:
        with pytest.raises(TypeError, match="list"):
            client.encode("a text")
        assert client.status["num_request"] == 1


@pytest.mark.parametrize(
    ("arguments", "kind"),
    [
        ({"identity": b"a\0b"}, ValueError),
        ({"identity": ""}, ValueError),
        ({"identity": 7}, TypeError),
        ({"output_fmt": "json"}, AttributeError),
        ({"port": 0}, ValueError),
        ({"port": "5555"}, TypeError),
        ({"port_out": 70_000}, ValueError),
        ({"timeout": None}, TypeError),
    ],
)
def test_bad_arguments(arguments: dict[str, Any], kind: type[Exception]) -> None:
    with pytest.raises(kind, match="must"):
        BertClient(**arguments)


@pytest.mark.parametrize("identity", ["me", "ключ#1@2", b"\xff\xfe#@"])
def test_identities(peer: PeerServer, identity: str | bytes) -> None:
    with BertClient(**peer.ports, identity=identity) as client:
        np.testing.assert_array_equal(client.encode(TEXTS), vectors(TEXTS))


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
        if "poison" not in request.texts:
            return answer_rows(peer, request)
        error = RowFailed("cannot be encoded", request.texts.index("poison"))  # type: ignore[arg-type]
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
                client.encode(["fast"])

        busy = threading.Thread(target=keep_busy)
        busy.start()
        started_s = time.monotonic()
        with pytest.raises(RequestTimeout, match=f"localhost:{peer.port} .*timeout=200 ms.*Try") as raised:
            client.encode(["slow"])
        assert 0.2 <= time.monotonic() - started_s < 4
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


# -- threads, processes, closing --------------------------------------------------------------------------------------


def test_threads_share_a_client(peer: PeerServer) -> None:
    with BertClient(**peer.ports) as client:

        def use(thread: int) -> None:
            for turn in range(30):
                texts = [f"thread {thread} turn {turn} row {row}" for row in range(1 + turn % 5)]
                np.testing.assert_array_equal(client.encode(texts), vectors(texts))

        with ThreadPoolExecutor(32) as threads:
            list(threads.map(use, range(32)))
        assert client.status["num_request"] == 1 + 32 * 30


def test_used_after_a_fork(peer: PeerServer) -> None:
    with BertClient(**peer.ports) as client:
        reader, writer = os.pipe()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # threads and fork, on purpose
            pid = os.fork()
        if pid == 0:
            try:
                os.write(writer, _raised_by_all(client).encode())
            finally:
                os._exit(0)
        os.close(writer)
        with os.fdopen(reader) as outcome:
            assert outcome.read() == "ClientClosed " * 5
        assert os.waitpid(pid, 0)[1] == 0
        np.testing.assert_array_equal(client.encode(TEXTS), vectors(TEXTS))  # unharmed in the parent


def _raised_by_all(client: BertClient) -> str:
    calls: list[Callable[[], Any]] = [
        lambda: client.encode(TEXTS),
        lambda: client.encode(TEXTS, blocking=False),
        lambda: client.server_config,
        lambda: client.server_status,
        lambda: client.listen(),
    ]
    outcome = ""
    for call in calls:
        try:
            call()
        except Exception as error:
            outcome += type(error).__name__ + " "
    client.close()
    return outcome


def test_closing(peer: PeerServer) -> None:
    peer.answer = answer_nothing
    client = BertClient(**peer.ports)
    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(client.encode, TEXTS)
        peer.wait_for(num_encode=1)
        client.close()
        with pytest.raises(ClientClosed):
            waiting.result(timeout=20)
    client.close()
    assert _raised_by_all(client) == "ClientClosed " * 5


def test_nothing_is_left_open(peer: PeerServer) -> None:
    BertClient(**peer.ports).close()
    fds, threads = num_fds(), threading.active_count()
    for _ in range(20):
        with BertClient(**peer.ports) as client:
            client.encode(TEXTS)
    assert threading.active_count() == threads
    assert num_fds() <= fds + 2  # the peer may not have noticed the last one yet


def test_a_client_that_nobody_closes(peer: PeerServer) -> None:
    threads = set(threading.enumerate())
    client: Any = BertClient(**peer.ports)
    client.encode(TEXTS)
    (thread,) = set(threading.enumerate()) - threads
    assert thread.daemon
    del client
    thread.join(timeout=20)
    assert not thread.is_alive()


def test_raw_frames(peer: PeerServer) -> None:
    """What is sent is 1.10's format, byte for byte."""
    with BertClient(**peer.ports, identity="me") as client:
        client.encode(["你好", "b"])
        client.server_status  # noqa: B018
    assert peer.raw_requests == [
        [b"me", b"SHOW_CONFIG", b"1", b"0"],
        [b"me", '["你好","b"]'.encode(), b"2", b"2"],
        [b"me", b"SHOW_STATUS", b"3", b"0"],
    ]
