"""Start, stop and death of the service: ready or a reason, and nothing left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import psutil
import pytest
import zmq
from command import FakeCommand
from fake_engine import vector_of
from family import Family
from ports import free_ports, is_free
from raw_client import RawClient
from serving import Connect, Serve, fake_config, pids

from bert_serving.client import BertClient
from bert_serving.client.wire import Command, JsonReply, RowsReply, decode_reply, encode_command, encode_request
from bert_serving.server import BertServer, ConfigError, ServiceError, StartError


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"model_dir": "prepare-fails"}, "^the graph cannot be made$"),
        ({"model_dir": "load-fails"}, "worker-[01] failed while .*: the model cannot be loaded"),
        ({"model_dir": "load-crashes"}, "worker-[01] failed while .*: KeyError: 'a bug'"),
        ({"model_dir": "prepare-hangs", "start_timeout": 1}, r"not ready within 1 s .*graph optimizer \(starting\)"),
    ],
    ids=lambda value: value["model_dir"] if isinstance(value, dict) else "",
)
def test_a_start_that_fails_raises_its_reason(
    socket_folder: Path, options: dict[str, Any], says: str, family: Family
) -> None:
    config = fake_config(num_worker=2, graph_tmp_dir=str(socket_folder), **options)
    with pytest.raises(StartError, match=says), BertServer(config):
        pass
    assert is_free(config.port)
    assert is_free(config.port_out)
    assert family.members() == []
    assert list(socket_folder.iterdir()) == []


def test_what_resolve_refuses_is_refused_at_once() -> None:
    with pytest.raises(ConfigError, match="-model_dir refused"):
        BertServer(fake_config(model_dir="refused"))


@pytest.mark.parametrize(("option", "flag"), [("port", "-port"), ("port_out", "-port_out")])
def test_a_port_in_use_is_named(option: str, flag: str, family: Family) -> None:
    config = fake_config()
    port = getattr(config, option)
    with zmq.Context() as context, context.socket(zmq.PULL) as holder:
        holder.bind(f"tcp://*:{port}")
        with pytest.raises(StartError, match=rf"port {port} \({flag}\) is in use"), BertServer(config):
            pass
    assert family.members() == []


@pytest.mark.parametrize("victim", ["sink", "graph optimizer", "worker-0"])
def test_a_child_killed_while_loading_ends_the_start(victim: str, family: Family) -> None:
    server = BertServer(fake_config(model_dir="prepare-hangs"))
    server.start()
    try:
        os.kill(pids(server)[victim], signal.SIGKILL)
        with pytest.raises(StartError, match="killed by SIGKILL, probably because memory ran out"):
            server.is_ready.wait(30)
    finally:
        server.close()
    assert family.members() == []


def test_requests_sent_while_loading_are_answered(tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    server = BertServer(fake_config(model_dir=f"wait-for {gate}"))
    server.start()
    with closing(server), RawClient(server, b"me") as raw:
        raw.push.send_multipart(encode_request(b"me", 1, ["early"]))
        config = raw.ask(*encode_command(b"me", 2, Command.SHOW_CONFIG))
        assert isinstance(config, JsonReply)
        assert config.content["state"] == "loading"
        gate.touch()
        assert raw.sub.poll(30_000)
        reply = decode_reply(raw.sub.recv_multipart())
        assert isinstance(reply, RowsReply)
        np.testing.assert_array_equal(reply.array, [vector_of("early")])


def test_it_can_be_closed_while_loading_and_twice(family: Family) -> None:
    server = BertServer(fake_config(model_dir="prepare-hangs"))
    server.start()
    pids(server)
    server.close()
    server.close()
    with pytest.raises(StartError, match="stopped before it was ready"):
        server.is_ready.wait(0)
    assert server.failure is None
    assert family.members() == []


@pytest.mark.parametrize("until", ["it is ready", "it ends"])
def test_a_signal_that_another_thread_gets_is_heard_by_who_waits(until: str, family: Family, tmp_path: Path) -> None:
    """The system gives it to the one that starts a process just then, more often than not."""
    main, heard, unheard = threading.get_ident(), threading.Event(), threading.Event()
    model = "any" if until == "it ends" else f"wait-for {tmp_path / 'ever'}"
    server = BertServer(fake_config(model_dir=model))

    def on_signal(number: int, frame: FrameType | None) -> None:
        heard.set()
        server.stop()

    def take_it() -> None:
        while sys._current_frames()[main].f_code.co_name not in ("wait", "_wait_for_tstate_lock"):
            pass
        time.sleep(0.05)  # it is about to sleep, which nothing tells
        signal.pthread_kill(threading.get_ident(), signal.SIGUSR1)
        if not heard.wait(10):
            unheard.set()
            server.stop()

    before = signal.signal(signal.SIGUSR1, on_signal)
    taker = threading.Thread(target=take_it)
    try:
        server.start()
        if until == "it ends":
            server.is_ready.wait()
        taker.start()
        with suppress(StartError):
            server.join() if until == "it ends" else server.is_ready.wait()
    finally:
        taker.join()
        server.close()
        signal.signal(signal.SIGUSR1, before)
    assert heard.is_set()
    assert not unheard.is_set(), "it was heard when nobody waited any more"
    assert family.members() == []


def test_shutdown_from_python(serve: Serve) -> None:
    server = serve()
    BertServer.shutdown(port=server.config.port)
    server.join(30)
    assert not server.is_alive()
    with pytest.raises(ServiceError, match=f"at localhost:{server.config.port} within 200 ms"):
        BertServer.shutdown(port=server.config.port, timeout=200)


def test_ipc_that_is_refused_is_replaced_by_loopback(
    serve: Serve, connect: Connect, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    deep = tmp_path / ("d" * 120)  # longer than a socket's path may be
    deep.mkdir()
    monkeypatch.setenv("ZEROMQ_SOCK_TMP_DIR", str(deep))
    client = connect(serve())
    assert client.server_config["worker -> sink"].startswith("tcp://127.0.0.1:")
    np.testing.assert_array_equal(client.encode(["a"]), [vector_of("a")])


# -- the command ------------------------------------------------------------------------------------------------------


def by_signal(number: signal.Signals) -> Callable[[FakeCommand], None]:
    return lambda server: server.stop(number)


def by_terminate(server: FakeCommand) -> None:
    command = [sys.executable, "-m", "bert_serving.server.cli.terminate", "-port", str(server.port)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def test_20_cycles_on_the_same_ports_leave_nothing(socket_folder: Path, family: Family) -> None:
    ports = free_ports(2)
    ways = [by_signal(signal.SIGTERM), by_signal(signal.SIGINT), by_terminate]
    for cycle in range(15):
        with FakeCommand(ports, num_worker=2, graph_tmp_dir=str(socket_folder)) as server:
            server.wait_until_ready()
            children = psutil.Process(server.pid).children(recursive=True)
            assert len(children) == 4
            with BertClient(**server.ports) as client:
                np.testing.assert_array_equal(client.encode(["a"]), [vector_of("a")])
            ways[cycle % 3](server)
            assert server.wait_for_end(30) == 0, server.log
        assert not any(child.is_running() for child in children)
        assert all(map(is_free, ports))
        assert list(socket_folder.iterdir()) == []
    for _ in range(5):
        config = fake_config(port=ports[0], port_out=ports[1], num_worker=2, graph_tmp_dir=str(socket_folder))
        with BertServer(config), BertClient(port=ports[0], port_out=ports[1]) as client:
            client.encode(["a"])
        assert family.members() == []
        assert all(map(is_free, ports))
        assert list(socket_folder.iterdir()) == []


def test_children_end_when_the_server_is_killed() -> None:
    with FakeCommand() as server:
        server.wait_until_ready()
        children = psutil.Process(server.pid).children(recursive=True)
        server.stop(signal.SIGKILL)
        server.wait_for_end()
    gone, alive = psutil.wait_procs(children, timeout=30)
    assert not alive
    assert gone


def test_what_a_killed_server_leaves_goes_at_the_next_start(socket_folder: Path, serve: Serve) -> None:
    def folders() -> set[Path]:
        return set(socket_folder.iterdir())

    serve(graph_tmp_dir=str(socket_folder))
    live = folders()
    assert len(live) == 2
    with FakeCommand(graph_tmp_dir=str(socket_folder)) as server:
        server.wait_until_ready()
        server.stop(signal.SIGKILL)
        server.wait_for_end()
        left = folders() - live
        assert len(left) == 2
        serve(graph_tmp_dir=str(socket_folder))
    assert live < folders()
    assert not left & folders()


@pytest.mark.parametrize(
    ("options", "last_line"),
    [
        ({"model_dir": "prepare-fails"}, "bert-serving-start: error: the graph cannot be made"),
        ({"model_dir": "load-crashes"}, "bert-serving-start: error: worker-0 failed while "),
    ],
    ids=lambda value: value["model_dir"] if isinstance(value, dict) else "",
)
def test_the_last_line_is_the_reason(options: dict[str, Any], last_line: str) -> None:
    with FakeCommand(**options) as server:
        assert server.wait_for_end(60) == 1
    assert server.last_line.startswith(last_line)
    assert "Traceback" not in server.log


def test_a_server_that_is_never_started_holds_nothing() -> None:
    before = psutil.Process().num_fds()
    servers = [BertServer(fake_config()) for _ in range(3)]
    assert psutil.Process().num_fds() == before
    for server in servers:
        server.stop()
        server.close()
