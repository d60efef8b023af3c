"""CURVE: who has a key gets in, who has none gets nothing, and nothing of a key is logged."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zmq
from fake_engine import vector_of
from serving import Connect, Serve, fake_config

from bert_serving.client import BadRequest, BertClient, ConnectFailed
from bert_serving.client.keys import ClientKeys
from bert_serving.client.wire import Command, encode_command
from bert_serving.server import BertServer, StartError
from bert_serving.server.transport import sockets
from bert_serving.server.transport.curve import make_keys


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    """A folder with the keys of alice and of an administrator."""
    make_keys(tmp_path / "keys", ["alice", "admin-eve"])
    return tmp_path / "keys"


def of(keys: Path, name: str) -> str:
    return str(keys / "for_clients" / name)


def encodes(client: BertClient) -> bool:
    return np.array_equal(client.encode(["a"]), [vector_of("a")])


def encode_for_ever(client: BertClient) -> None:
    while True:
        client.encode(["a"])


def test_who_has_a_key_gets_in_and_no_key_is_logged(
    serve: Serve, connect: Connect, keys: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        server = serve(curve_dir=str(keys), verbose=True)
        assert encodes(connect(server, curve=of(keys, "alice")))
        alice = ClientKeys.load(of(keys, "alice"))
    for key in (alice.public, alice.secret, alice.server):
        assert key.decode() not in caplog.text
    assert alice.secret.decode() not in repr(alice)


@pytest.mark.parametrize("kind", ["none", "unknown", "wrong server"])
def test_who_has_no_key_is_told_so(serve: Serve, connect: Connect, keys: Path, tmp_path: Path, kind: str) -> None:
    server = serve(curve_dir=str(keys))
    make_keys(tmp_path / "other", ["mallory"])
    mallory = Path(of(tmp_path / "other", "mallory"))
    if kind == "unknown":  # it knows the server, but the server does not know it
        (mallory / "server.key").write_bytes((keys / "server.key").read_bytes())
    options: dict[str, Any] = {} if kind == "none" else {"curve": str(mallory)}
    with pytest.raises(ConnectFailed, match="key"):
        connect(server, connect_timeout=1500, **options)


def test_an_unknown_key_gets_no_byte(serve: Serve, connect: Connect, keys: Path, tmp_path: Path) -> None:
    server = serve(curve_dir=str(keys))
    make_keys(tmp_path / "other", ["mallory"])
    mallory, known = ClientKeys.load(of(tmp_path / "other", "mallory")), ClientKeys.load(of(keys, "alice"))
    with zmq.Context() as context, context.socket(zmq.SUB) as spy:
        spy.linger = 0
        ClientKeys(mallory.public, mallory.secret, known.server).present(spy)
        spy.subscribe(b"shared")
        spy.connect(f"tcp://127.0.0.1:{server.config.port_out}")
        client = connect(server, curve=of(keys, "alice"), identity="shared")
        for _ in range(20):
            assert encodes(client)
        assert not spy.poll(0)


def test_a_key_that_is_removed_is_of_no_use_any_more(serve: Serve, connect: Connect, keys: Path) -> None:
    server = serve(curve_dir=str(keys))
    alice, eve = (connect(server, curve=of(keys, name)) for name in ("alice", "admin-eve"))
    assert encodes(alice)
    (keys / "clients" / "alice.key").unlink()
    with pytest.raises(BadRequest, match="revoked"):
        encode_for_ever(alice)  # the folder is looked at once a second
    with pytest.raises(ConnectFailed):
        connect(server, curve=of(keys, "alice"), connect_timeout=1500)
    assert encodes(eve)
    make_keys(keys, ["bob"])
    while True:
        try:
            assert encodes(connect(server, curve=of(keys, "bob"), connect_timeout=1500))
            break
        except ConnectFailed:
            continue


def test_what_a_removed_key_has_open_ends(serve: Serve, connect: Connect, keys: Path) -> None:
    server = serve(curve_dir=str(keys))
    with zmq.Context() as context, context.socket(zmq.SUB) as spy, context.socket(zmq.PAIR) as monitor:
        spy.linger = monitor.linger = 0
        ClientKeys.load(of(keys, "alice")).present(spy)
        spy.monitor("inproc://monitor", zmq.EVENT_DISCONNECTED)
        monitor.connect("inproc://monitor")
        spy.subscribe(b"shared")
        spy.connect(f"tcp://127.0.0.1:{server.config.port_out}")
        eve = connect(server, curve=of(keys, "admin-eve"), identity="shared")
        while not spy.poll(0):
            assert encodes(eve)
        (keys / "clients" / "alice.key").unlink()
        assert monitor.poll(30_000)
        while spy.poll(0):
            spy.recv_multipart()
        for _ in range(20):
            assert encodes(eve)
        assert not spy.poll(0)
        spy.disable_monitor()


def test_an_administrator_may_stop_the_server_from_elsewhere(
    serve: Serve, connect: Connect, keys: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sockets, "is_this_machine", lambda address: False)
    server = serve(curve_dir=str(keys))
    BertServer.shutdown(port=server.config.port, curve=of(keys, "alice"))
    assert encodes(connect(server, curve=of(keys, "alice")))
    BertServer.shutdown(port=server.config.port, curve=of(keys, "admin-eve"))
    server.join(30)
    assert not server.is_alive()


def test_a_stop_without_a_key_reaches_nobody(serve: Serve, connect: Connect, keys: Path) -> None:
    server = serve(curve_dir=str(keys))
    sockets.push_once("127.0.0.1", server.config.port, encode_command(b"0", 0, Command.TERMINATION), 500, None)
    assert encodes(connect(server, curve=of(keys, "alice")))


def test_a_folder_without_keys_is_named(tmp_path: Path) -> None:
    with pytest.raises(StartError, match="holds no keys: bert-serving-keygen"):
        BertServer(fake_config(curve_dir=str(tmp_path))).__enter__()
    with pytest.raises(ValueError, match=r"client\.key_secret is no key file"):
        BertClient(curve=tmp_path)


def test_keys_are_for_their_owner_alone_and_never_overwritten(keys: Path) -> None:
    for path in keys.rglob("*"):
        assert path.stat().st_mode & 0o077 == 0, path
    before = {path: path.read_bytes() for path in keys.rglob("*") if path.is_file()}
    with pytest.raises(FileExistsError):
        make_keys(keys, ["alice"])
    assert before == {path: path.read_bytes() for path in keys.rglob("*") if path.is_file()}
