"""What a client says when there is no usable server, and that it never waits for ever."""

from __future__ import annotations

import socket
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
import zmq
from peer_server import CONFIG, PeerServer, answer_nothing, answer_rows, vectors
from ports import free_ports
from zmq import Event

from bert_serving.client import BertClient, BertServingError, ConnectFailed
from bert_serving.client.link import Link, LinkState, explain

CONNECT_TIMEOUT_MS = 700

HANG_UP = [
    Event.CONNECT_DELAYED,
    Event.CONNECTED,
    Event.HANDSHAKE_FAILED_NO_DETAIL,
    Event.DISCONNECTED,
    Event.CONNECT_RETRIED,
]


def test_who_waits_is_told_for_what_after_a_second(caplog: pytest.LogCaptureFixture) -> None:
    port, port_out = free_ports(2)
    with pytest.raises(ConnectFailed):
        BertClient(port=port, port_out=port_out, connect_timeout=1300)
    (line,) = caplog.messages
    assert line.startswith(f"waiting for up to 1.3 s (connect_timeout): nothing listens on localhost:{port} (port)")
    caplog.clear()
    with BertClient(port=port, port_out=port_out, connect_timeout=1300, ignore_all_checks=True) as client:
        with pytest.raises(ConnectFailed):
            client.encode(["a"])
        (line,) = caplog.messages
        assert line.startswith("waiting for up to 1.3 s")
        assert (
            repr(client) == f"<BertClient of localhost:{port}:{port_out}, identity {client.identity.decode()}, "
            "1 requests, 0 pending>"
        )


def test_several_servers_that_are_not_there_are_told_of_once(caplog: pytest.LogCaptureFixture) -> None:
    ports = [free_ports(2) for _ in range(2)]
    with pytest.raises(ConnectFailed):
        BertClient([f"localhost:{port}:{port_out}" for port, port_out in ports], connect_timeout=2500)
    (line,) = caplog.messages
    assert line.startswith("waiting for a server: nothing listens on localhost:")


def test_an_error_comes_without_the_way_through_this_package() -> None:
    """One frame of ours, that which raises it, whatever is called."""
    port, port_out = free_ports(2)
    where: dict[str, Any] = {"port": port, "port_out": port_out, "connect_timeout": 200}
    with BertClient(**where, ignore_all_checks=True) as client:
        for call in (
            lambda: BertClient(**where), lambda: client.encode(["a"]), lambda: client.encode(["a", ""]),
            lambda: client.encode(["a"], dimensions=-7), lambda: client.rank("a", ["b"]), lambda: client.server_config,
        ):  # fmt: skip
            with pytest.raises(BertServingError) as raised:
                call()
            frames = [str(entry.path) for entry in raised.traceback]
            assert sum("bert_serving/client" in path for path in frames) <= 2, frames
            assert "concurrent" not in " ".join(frames)
            assert raised.value.__context__ is None or raised.value.__suppress_context__


def connect_error(port: int, port_out: int, **kwargs: Any) -> str:
    """The message of the ConnectFailed, which must come in time."""
    started_s = time.monotonic()
    with pytest.raises(ConnectFailed) as raised:
        BertClient(**{"port": port, "port_out": port_out, "connect_timeout": CONNECT_TIMEOUT_MS, **kwargs})
    assert isinstance(raised.value, TimeoutError)
    assert time.monotonic() - started_s < 20 * CONNECT_TIMEOUT_MS / 1000
    return str(raised.value)


@contextmanager
def tcp_server(serve: Callable[[socket.socket], None]) -> Iterator[int]:
    """A port whose connections `serve` gets, one after the other."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def accept() -> None:
            while True:
                try:
                    serve(listening.accept()[0])
                except OSError:
                    return

        thread = threading.Thread(target=accept)
        thread.start()
        yield listening.getsockname()[1]
        listening.shutdown(socket.SHUT_RDWR)
        thread.join()


@contextmanager
def black_hole() -> Iterator[int]:
    """A port that answers no SYN: its queue of connections is full."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listening:
        port = listening.getsockname()[1]
        callers = [socket.socket() for _ in range(4)]
        for caller in callers:
            caller.setblocking(False)
            caller.connect_ex(("127.0.0.1", port))
        yield port
        for caller in callers:
            caller.close()


def test_nothing_listens() -> None:
    port, port_out = free_ports(2)
    message = connect_error(port, port_out)
    assert message.startswith(f"nothing listens on localhost:{port} (port) and localhost:{port_out} (port_out)")


def test_nothing_listens_on_one(peer: PeerServer) -> None:
    (port,) = free_ports(1)
    assert connect_error(port, peer.port_out).startswith(f"nothing listens on localhost:{port} (port):")
    assert connect_error(peer.port, port).startswith(f"nothing listens on localhost:{port} (port_out):")


def test_black_hole() -> None:
    with black_hole() as port, black_hole() as port_out:
        assert "no answer at all" in connect_error(port, port_out)


def test_unknown_host() -> None:
    assert "cannot be resolved" in connect_error(5555, 5556, ip="no-such-host.invalid")


def test_swapped_ports(peer: PeerServer) -> None:
    assert "look swapped" in connect_error(peer.port_out, peer.port, connect_timeout=60_000)


def test_one_port_twice(peer: PeerServer) -> None:
    message = connect_error(peer.port, peer.port, connect_timeout=60_000)
    assert f"{peer.port} (port_out) is not the kind of socket" in message


def test_another_kind_of_server() -> None:
    kept: list[socket.socket] = []
    with tcp_server(kept.append) as port, tcp_server(kept.append) as port_out:
        assert "does not answer as ZeroMQ" in connect_error(port, port_out)
    for accepted in kept:
        accepted.close()


def test_a_server_that_hangs_up() -> None:
    with tcp_server(socket.socket.close) as port, tcp_server(socket.socket.close) as port_out:
        assert "closes them at once" in connect_error(port, port_out)


def test_ports_of_two_servers(peer: PeerServer) -> None:
    with PeerServer() as other:
        assert "two ports of different servers" in connect_error(peer.port, other.port_out)


def test_no_answer(peer: PeerServer) -> None:
    peer.is_mute = True
    assert "but no answer came" in connect_error(peer.port, peer.port_out)


def test_loading(peer: PeerServer) -> None:
    peer.config["state"] = "loading"
    assert "still loading" in connect_error(peer.port, peer.port_out)


def test_waits_for_a_loading_server(peer: PeerServer) -> None:
    peer.config["state"] = "loading"
    with ThreadPoolExecutor(1) as threads:
        connecting = threads.submit(BertClient, **peer.ports)
        peer.wait_for(num_encode=0, num_all=2)
        assert not connecting.done()
        peer.config["state"] = "ready"
        connecting.result(timeout=20).close()


def test_asks_again(peer: PeerServer) -> None:
    """As if the subscription had come too late for the first answer."""
    peer.is_mute = True
    with ThreadPoolExecutor(1) as threads:
        connecting = threads.submit(BertClient, **peer.ports)
        peer.wait_for(num_encode=0, num_all=1)
        peer.is_mute = False
        with connecting.result(timeout=20) as client:
            assert {request.request_id for request in peer.requests} == {b"1"}
            assert client.status["num_pending_request"] == 0


@pytest.mark.parametrize("connect_timeout", [20_000, -1])
def test_waits_for_a_server_that_starts_late(connect_timeout: int) -> None:
    port, port_out = free_ports(2)
    with ThreadPoolExecutor(1) as threads:
        connecting = threads.submit(BertClient, port=port, port_out=port_out, connect_timeout=connect_timeout)
        with PeerServer(port=port, port_out=port_out), connecting.result(timeout=20) as client:
            assert client.server_config == CONFIG


# -- without a handshake ----------------------------------------------------------------------------------------------

NO_CHECKS: list[dict[str, Any]] = [
    {"ignore_all_checks": True, "show_server_config": True},
    {"check_version": False, "check_length": False, "check_token_info": False},
]


@pytest.mark.parametrize("checks", NO_CHECKS)
def test_no_handshake(peer: PeerServer, checks: dict[str, Any]) -> None:
    for _ in range(20):
        with BertClient(**peer.ports, **checks) as client:
            np.testing.assert_array_equal(client.encode(["a"]), vectors(["a"]))
    assert len(peer.requests) == len(peer.encode_requests()) == 20


@pytest.mark.parametrize("checks", NO_CHECKS)
def test_no_server_at_the_first_call(checks: dict[str, Any]) -> None:
    port, port_out = free_ports(2)
    with BertClient(port=port, port_out=port_out, connect_timeout=CONNECT_TIMEOUT_MS, **checks) as client:
        with pytest.raises(ConnectFailed, match="nothing listens"):
            client.encode(["a"])
        client.encode(["b"], blocking=False)
        with pytest.raises(ConnectFailed, match="nothing listens"):
            client.fetch_all()
        with PeerServer(port=port, port_out=port_out):
            np.testing.assert_array_equal(client.encode(["c"]), vectors(["c"]))


# -- a server that goes away ------------------------------------------------------------------------------------------


def test_server_goes_away(peer: PeerServer) -> None:
    peer.answer = answer_nothing
    with BertClient(**peer.ports, connect_timeout=CONNECT_TIMEOUT_MS) as client, ThreadPoolExecutor(4) as threads:
        waiting = [threads.submit(client.encode, ["a"]) for _ in range(4)]
        peer.wait_for(num_encode=4)
        peer.close()
        for call in waiting:
            with pytest.raises(ConnectFailed, match=r"nothing listens|was lost"):
                call.result(timeout=20)


def test_server_comes_back(peer: PeerServer) -> None:
    with BertClient(**peer.ports) as client:
        client.encode(["a"])
        peer.close()
        with PeerServer(**peer.ports) as restarted:
            np.testing.assert_array_equal(client.encode(["b"]), vectors(["b"]))
            assert len(restarted.encode_requests()) == 1


def test_a_call_under_way_survives_a_restart_of_the_server(peer: PeerServer) -> None:
    peer.answer = answer_nothing
    with BertClient(**peer.ports) as client, ThreadPoolExecutor(1) as threads:
        call = threads.submit(client.encode, ["a"])
        peer.wait_for(num_encode=1)
        peer.close()
        with PeerServer(**peer.ports):
            np.testing.assert_array_equal(call.result(timeout=20), vectors(["a"]))


def test_a_busy_server_is_waited_for(peer: PeerServer) -> None:
    peer.answer = answer_nothing
    with BertClient(**peer.ports, connect_timeout=50) as client, ThreadPoolExecutor(1) as threads:
        call = threads.submit(client.encode, ["a"])
        (request,) = peer.wait_for(num_encode=1)
        assert wait([call], timeout=0.5).not_done  # for ten times the connect timeout
        peer.publish(answer_rows(peer, request)[0])
        np.testing.assert_array_equal(call.result(timeout=20), vectors(["a"]))


def test_returns_to_a_peer_that_was_of_the_wrong_kind() -> None:
    """libzmq itself would not."""
    (port_out,) = free_ports(1)
    with PeerServer() as wrong:
        port = wrong.port_out
        client = BertClient(port=port, port_out=port_out, ignore_all_checks=True, connect_timeout=2_000)
        with pytest.raises(ConnectFailed, match=r"\(port\) (is not the kind of socket|.* port and port_out swapped)"):
            client.encode(["a"])
    with client, PeerServer(port=port, port_out=port_out):
        np.testing.assert_array_equal(client.encode(["b"]), vectors(["b"]))


def test_a_program_that_never_closes_its_client_ends(peer: PeerServer) -> None:
    program = f"""
        from bert_serving.client import BertClient
        client = BertClient(port={peer.port}, port_out={peer.port_out})
        print(client.encode(["a"]).shape)
    """
    ended = subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(program)], capture_output=True, text=True, timeout=60
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "(1, 2)\n", "")


# -- the sentences ----------------------------------------------------------------------------------------------------


GIVEN_UP = (LinkState.WRONG_PEER, LinkState.KEYS_DIFFER, LinkState.KEY_REFUSED, LinkState.LOST)
EVENTS: dict[LinkState, Sequence[Event | tuple[Event, int]]] = {
    LinkState.NO_ANSWER: [Event.CONNECT_DELAYED],
    LinkState.UNKNOWN_HOST: [Event.CONNECT_RETRIED] * 3,
    LinkState.REFUSED: [Event.CONNECT_DELAYED, Event.CLOSED, Event.CONNECT_RETRIED] * 2 + [Event.CONNECT_DELAYED],
    LinkState.NO_HANDSHAKE: [Event.CONNECT_DELAYED, Event.CONNECTED],
    LinkState.HANGS_UP: HANG_UP * 2 + [Event.CONNECT_DELAYED, Event.CONNECTED],
    LinkState.WRONG_PEER: HANG_UP * 2 + [Event.CONNECT_DELAYED, Event.CONNECTED, Event.DISCONNECTED],
    LinkState.KEYS_DIFFER: [
        *[Event.CONNECT_DELAYED, Event.CONNECTED],
        (Event.HANDSHAKE_FAILED_PROTOCOL, zmq.PROTOCOL_ERROR_ZMTP_MECHANISM_MISMATCH),
        Event.DISCONNECTED,
    ],
    LinkState.KEY_REFUSED: [
        *[Event.CONNECT_DELAYED, Event.CONNECTED, Event.HANDSHAKE_FAILED_AUTH, Event.DISCONNECTED],
    ],
    LinkState.UP: [*HANG_UP, Event.CONNECT_DELAYED, Event.CONNECTED, Event.HANDSHAKE_SUCCEEDED],
    LinkState.LOST: [Event.CONNECT_DELAYED, Event.CONNECTED, Event.HANDSHAKE_SUCCEEDED, Event.DISCONNECTED],
}


@pytest.mark.parametrize("state", LinkState)
def test_states(state: LinkState) -> None:
    link = Link("host", 1, "port")
    for event in EVENTS[state]:
        number, value = event if isinstance(event, tuple) else (event, 0)
        link.observe(number, value, now_s=7.0)
    assert link.state is state
    assert link.given_up_at_s == (7.0 if state in GIVEN_UP else None)
    link.observe(Event.CONNECT_RETRIED, 0, now_s=8.0)
    assert link.given_up_at_s is None


def test_every_state_has_its_sentence() -> None:
    sentences = set()
    for state in set(LinkState) - {LinkState.UP}:
        requests, replies = Link("host", 1, "port"), Link("host", 2, "port_out")
        requests.state, replies.state = state, LinkState.UP
        sentence = explain(requests, replies)
        assert "host:1 (port)" in sentence
        assert "port_out)" not in sentence
        sentences.add(sentence)
    assert len(sentences) == len(LinkState) - 1
