"""The lines between our own processes: strangers on this machine reach none of them, and garbage ends nobody."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import hostile
import numpy as np
import psutil
import pytest
import zmq
from fake_engine import vector_of
from ports import free_ports
from serving import Connect, Serve

from bert_serving.client import BertClient
from bert_serving.client.keys import ClientKeys
from bert_serving.server import BertServer
from bert_serving.server.message.codec import encode
from bert_serving.server.message.envelope import Envelope
from bert_serving.server.message.messages import Hello, Message, NewSink, Part, Ready, Rows, StopAsked
from bert_serving.server.transport.curve import make_keys
from bert_serving.server.transport.run_keys import RunKeys

NAMES = [b"worker-0.1", b"worker-0.2", b"sink.1", b"ventilator.1", b"stranger", b"\xff\xfe"]
ENVELOPE = Envelope(1, 1, b"good", b"1")
ROWS = Rows(ENVELOPE, 0, 1, bytes(4), dim=2, data=bytes(8))
PART = Part(ENVELOPE, 0, 1, True, None, b'["a"]')
ELSEWHERE = "tcp://127.0.0.1:1"
MESSAGES: list[Message] = [
    Hello(1, ELSEWHERE),
    Ready("gpu:0", ""),
    NewSink(ELSEWHERE),
    StopAsked("a stranger"),
    PART,
    ROWS,
]
GARBAGE = [
    [b""],
    [b"x"],
    [b"Stage\0" + b"[" * 100_000],
    [b"Done\0" + b"[" + b"9" * 5_000 + b",1,1,1,1,1,1,1]"],
    [b"Done\0" + b"\xff" * 64],
    [b"Received\0" + b"\xff" * 16],
    [b"Delivered\0" + b"\xff" * 9],
    [b"Hello\0" + b'[1,{"address":7}]'],
    [b"Hello\0" + b'["x",{},1]'],
    [b"Hello\0" + b'[1,"ipc:///nowhere",""]'],  # from somebody who is neither a worker nor the sink
    [b"Resize\0" + b'["many",[]]'],
    [b"Ready\0" + b"[[]]"],
    [b"Stage\0" + b'["\\ud800"]'],
    [b"Left\0" + b"[1e999]"],
    [*encode(ROWS)[:-1], b"\0"],
    [encode(ROWS)[0].replace(b"float32", b"object\0"), *encode(ROWS)[1:]],
    *([encode(ROWS)[0][:at] + b"\xff" * 8 + encode(ROWS)[0][at + 8 :], bytes(8)] for at in range(5, 69, 4)),
    [encode(ROWS)[0] + b'["a",[],-5,{}]', bytes(8)],
    [b"Part\0" + b"\xff"],
    [b""] * 40,
]
"""Frames that no process of ours sends."""


@pytest.fixture
def long_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where no ipc socket can be: the kernel takes paths of 107 bytes."""
    folder = tmp_path / ("long" * 30)
    folder.mkdir()
    monkeypatch.setenv("ZEROMQ_SOCK_TMP_DIR", str(folder))
    return folder


@pytest.fixture(params=["no keys", "-curve_dir"])
def service(
    request: pytest.FixtureRequest, serve: Serve, connect: Connect, tmp_path: Path
) -> tuple[BertServer, BertClient, dict[str, Any]]:
    """A server, a client of it, and that client's options."""
    options: dict[str, Any] = {}
    server_options: dict[str, Any] = {}
    if request.param == "-curve_dir":
        make_keys(tmp_path / "keys", ["alice"])
        options["curve"] = str(tmp_path / "keys" / "for_clients" / "alice")
        server_options["curve_dir"] = str(tmp_path / "keys")
    server = serve(num_worker=1, **server_options)
    return server, connect(server, identity="good", **options), options


def encodes(client: BertClient) -> None:
    for text in ("a", "b", "c"):
        np.testing.assert_array_equal(client.encode([text]), [vector_of(text)])


def running(client: BertClient) -> dict[str, int]:
    return {process["name"]: process["pid"] for process in client.server_status["processes"]}


def addresses(client: BertClient) -> tuple[str, str]:
    """Of the ventilator and of the sink, as anybody is shown them."""
    config = client.server_config
    return config["ventilator -> worker"][0], config["worker -> sink"]


def no_keys(sock: zmq.Socket[bytes]) -> None:
    pass


def own_keys(sock: zmq.Socket[bytes]) -> None:
    RunKeys.make().present(sock)


@pytest.mark.usefixtures("long_folder")
def test_a_stranger_at_the_tcp_fallback_hears_nothing_and_ends_nothing(
    service: tuple[BertServer, BertClient, dict[str, Any]],
) -> None:
    server, good, options = service
    before, (ventilator, sink) = running(good), addresses(good)
    assert ventilator.startswith("tcp://127.0.0.1:")
    assert sink.startswith("tcp://127.0.0.1:")
    ways: list[Callable[[zmq.Socket[bytes]], None]] = [no_keys, own_keys]
    if options:
        ways.append(ClientKeys.load(options["curve"]).present)  # that of a client, for the public ports
    with zmq.Context() as context:
        strangers = [
            _stranger(context, name, address, way) for name in NAMES for address in (ventilator, sink) for way in ways
        ]
        encodes(good)
        hostile.knock([int(address.rpartition(":")[2]) for address in (ventilator, sink)], random.Random(1))
        encodes(good)
        assert not any(sock.poll(100, zmq.POLLIN) for sock in strangers)
        for sock in strangers:
            sock.close()
    assert running(good) == before
    assert server.is_alive()


def _stranger(
    context: zmq.Context[Any], name: bytes, address: str, way: Callable[[zmq.Socket[bytes]], None]
) -> zmq.Socket[bytes]:
    sock: zmq.Socket[bytes] = context.socket(zmq.DEALER)
    sock.linger, sock.identity = 0, name
    way(sock)
    sock.connect(address)
    for frames in [*map(encode, MESSAGES), *GARBAGE]:
        sock.send_multipart(frames)
    return sock


@pytest.mark.usefixtures("long_folder")
def test_the_tcp_fallback_outlives_sink_and_worker(service: tuple[BertServer, BertClient, dict[str, Any]]) -> None:
    _, good, _ = service
    encodes(good)
    for name in ("sink", "worker-0"):
        psutil.Process(running(good)[name]).kill()
        encodes(good)


@pytest.mark.usefixtures("long_folder")
def test_no_key_of_a_line_is_shown(
    serve: Serve, connect: Connect, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    made, make = [], RunKeys.make

    def note_made() -> RunKeys:
        made.append(make())
        return made[-1]

    monkeypatch.setattr(RunKeys, "make", note_made)
    server = serve(verbose=True)
    good = connect(server)
    encodes(good)
    psutil.Process(running(good)["sink"]).kill()
    encodes(good)
    shown = [json.dumps([good.server_config, good.server_status]), *capfd.readouterr(), repr(made)]
    for process in psutil.Process().children(recursive=True):
        shown += [*process.cmdline(), *process.environ().values()]
    assert len(made) == 1
    assert not [key for keys in made for key in keys.as_orders().values() if any(key in text for text in shown)], (
        "a key is shown"
    )


def test_the_folder_of_ipc_sockets_is_private_wherever_it_is(
    service: tuple[BertServer, BertClient, dict[str, Any]],
) -> None:
    _, good, _ = service
    for address in addresses(good):
        assert Path(address.removeprefix("ipc://")).parent.stat().st_mode & 0o777 == 0o700


def test_a_folder_that_all_may_write_to_is_a_good_parent(serve: Serve, connect: Connect, socket_folder: Path) -> None:
    socket_folder.chmod(0o777)
    good = connect(serve())
    for address in addresses(good):
        folder = Path(address.removeprefix("ipc://")).parent
        assert folder.parent == socket_folder
        assert folder.stat().st_mode & 0o777 == 0o700


def test_garbage_on_a_line_ends_nobody(serve: Serve, connect: Connect) -> None:
    """Such as a process of ours might send whose memory is broken."""
    server = serve()
    good = connect(server, identity="good")
    before = running(good)
    with zmq.Context() as context:
        ventilator, sink = addresses(good)
        supervisor = ventilator.replace("ventilator.1", "supervisor")
        for address, kind in ((ventilator, zmq.DEALER), (supervisor, zmq.DEALER), (sink, zmq.PUSH)):
            for name in (b"stranger", b"\xff\xfe"):
                with context.socket(kind) as sock:
                    sock.linger, sock.identity = 5_000, name
                    sock.connect(address)
                    for frames in GARBAGE:
                        sock.send_multipart(frames)
    encodes(good)
    assert running(good) == before
    assert server.is_alive()


@pytest.mark.usefixtures("long_folder")
def test_the_gateway_finds_the_tcp_fallback(serve: Serve, tmp_path: Path) -> None:
    make_keys(tmp_path / "keys", ["alice"])
    (port,) = free_ports(1)
    server = serve(http_port=port, http_host="127.0.0.1", curve_dir=str(tmp_path / "keys"))
    while not _is_ready(port):
        pass
    body = json.dumps({"texts": ["a"]}).encode()
    asked = Request(f"http://127.0.0.1:{port}/encode", body, {"Content-Type": "application/json"})
    with urlopen(asked, timeout=30) as answer:
        np.testing.assert_allclose(json.load(answer)["results"], [vector_of("a")], rtol=1e-7)
    assert server.is_alive()


def _is_ready(port: int) -> bool:
    try:
        with urlopen(f"http://127.0.0.1:{port}/health/ready", timeout=30):
            return True
    except HTTPError:
        return False
