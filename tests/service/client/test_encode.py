"""BertClient.encode against a peer that answers as told: what is sent, what comes back, and what a client knows."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from peer_server import CONFIG, PeerServer, answer_nothing, vectors

from bert_serving.client import BertClient, __version__
from bert_serving.client.options import NO_OPTIONS

TEXTS = ["First do it", "then do it right", "then do it better"]


def test_raw_frames(peer: PeerServer) -> None:
    """What is sent is 1.10's format, byte for byte."""
    with BertClient(**peer.ports, identity="me") as client:
        client.encode(["你好", "b"])
        assert client.server_status
    assert peer.raw_requests == [
        [b"me", b"SHOW_CONFIG", b"1", b"0"],
        [b"me", '["你好","b"]'.encode(), b"2", b"2"],
        [b"me", b"SHOW_STATUS", b"3", b"0"],
    ]


def test_rows(peer: PeerServer) -> None:
    with BertClient(**peer.ports) as client:
        array = client.encode(TEXTS)
        tokenized = client.encode([text.split() for text in TEXTS], is_tokenized=True)
    np.testing.assert_array_equal(array, vectors(TEXTS))
    np.testing.assert_array_equal(tokenized, vectors([text.split() for text in TEXTS]))
    requests = peer.encode_requests()
    assert [request.request_id for request in requests] == [b"2", b"3"]  # 1 asked for the config
    assert [request.is_tokenized for request in requests] == [False, True]
    assert [request.options for request in requests] == [NO_OPTIONS, NO_OPTIONS]


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
            "endpoints": [f"localhost:{peer.port}:{peer.port_out}"],
            "client_version": __version__,
            "timeout": 30_000,
        }


def test_shows_config(peer: PeerServer, capsys: pytest.CaptureFixture[str]) -> None:
    BertClient(**peer.ports, show_server_config=True, ignore_all_checks=False).close()
    assert "max_seq_len\t=\t25" in capsys.readouterr().out


def test_input_is_checked_before_anything_is_sent(peer: PeerServer) -> None:
    with BertClient(**peer.ports) as client:
        with pytest.raises(TypeError, match="list"):
            client.encode("a text")  # type: ignore[call-overload]
        assert client.status["num_request"] == 1


@pytest.mark.parametrize(
    ("arguments", "kind"),
    [
        ({"identity": b"a\0b"}, ValueError),
        ({"identity": ""}, ValueError),
        ({"identity": "a" * 4097}, ValueError),
        ({"identity": "\u00e9" * 2049}, ValueError),
        ({"identity": 7}, TypeError),
        ({"output_fmt": "json"}, AttributeError),
        ({"port": 0}, ValueError),
        ({"port": "5555"}, TypeError),
        ({"port_out": 70_000}, ValueError),
        ({"timeout": None}, TypeError),
    ],
)
def test_bad_arguments(arguments: dict[str, Any], kind: type[Exception]) -> None:
    with pytest.raises(kind, match=r"must|at most"):
        BertClient(**arguments)


@pytest.mark.parametrize("identity", ["me", "ключ#1@2", b"\xff\xfe#@"])
def test_identities(peer: PeerServer, identity: str | bytes) -> None:
    with BertClient(**peer.ports, identity=identity) as client:
        np.testing.assert_array_equal(client.encode(TEXTS), vectors(TEXTS))
