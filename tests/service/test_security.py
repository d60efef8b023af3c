"""CURVE: who has a key gets in, who has none gets nothing, and nothing of a key is logged."""

from __future__ import annotations

import secrets
import shutil
import time
from contextlib import closing
from functools import partial
from operator import eq
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import psutil
import pytest
import zmq
from fake_engine import vector_of
from gateway_support import wait_until_ready
from ports import free_ports
from proxy import Proxy
from raw_client import RawClient
from serving import Connect, Serve, fake_config, wait_until

from bert_serving.client import BadRequest, BertClient, ConnectFailed
from bert_serving.client.keys import ClientKeys
from bert_serving.client.wire import Command, encode_command
from bert_serving.server import BertServer, StartError
from bert_serving.server.cli import keygen
from bert_serving.server.transport import sockets
from bert_serving.server.transport.curve import ServerKeys, make_keys
from bert_serving.server.ventilator.intake import may_terminate


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
    serve: Serve, connect: Connect, keys: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    server = serve(curve_dir=str(keys), verbose=True)
    assert encodes(connect(server, curve=of(keys, "alice")))
    logged = capfd.readouterr().err  # of all processes
    assert "2 client key(s) may connect" in logged
    alice, pair = ClientKeys.load(of(keys, "alice")), ServerKeys.load(keys)
    for key in (alice.public, alice.secret, alice.server, pair.secret):
        assert key.decode() not in logged
    assert alice.secret.decode() not in repr(alice)


def test_usage_is_counted_by_the_names_of_keys(serve: Serve, connect: Connect, keys: Path) -> None:
    (http_port,) = free_ports(1)
    server = serve(curve_dir=str(keys), http_port=http_port, http_host="127.0.0.1")
    alice, eve = (connect(server, curve=of(keys, name)) for name in ("alice", "admin-eve"))
    assert alice.server_status["keys"] == {}
    alice.encode(["a", "b"])
    alice.encode(["c"] * 40_000)  # one that is read in slices
    with connect(server, curve=of(keys, "alice")) as again:
        assert encodes(again)
    expected = {"alice": {"requests": 3, "texts": 40_003}}
    assert eve.server_status["keys"] == expected
    with httpx.Client(base_url=f"http://127.0.0.1:{http_port}", timeout=60) as http:
        wait_until_ready(http)
        assert http.post("/encode", json={"texts": ["a"]}).status_code == 200  # the gateway's key has no name
        assert http.get("/status/server").json()["keys"] == expected
    eve.encode(["a"])
    assert eve.server_status["keys"] == {"admin-eve": {"requests": 1, "texts": 1}, **expected}
    (keys / "clients" / "alice.key").unlink()
    wait_until(lambda: list(eve.server_status["keys"]) == ["admin-eve"])


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
    with pytest.raises((BadRequest, ConnectFailed), match="revoked"):
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


def test_a_key_is_revoked_whatever_lies_beside_it(
    serve: Serve, connect: Connect, keys: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    server = serve(curve_dir=str(keys))
    alice, eve = (connect(server, curve=of(keys, name)) for name in ("alice", "admin-eve"))
    assert encodes(alice)
    clients = keys / "clients"
    (clients / "folder.key").mkdir()
    (clients / "link-to-itself.key").symlink_to("link-to-itself.key")
    (clients / "secret.key").write_bytes((keys / "server.key_secret").read_bytes())
    (clients / "cut.key").write_bytes((clients / "alice.key").read_bytes()[:-20])
    (clients / "alice.key").unlink()
    with pytest.raises((BadRequest, ConnectFailed), match="revoked"):
        encode_for_ever(alice)
    with pytest.raises(ConnectFailed):
        connect(server, curve=of(keys, "alice"), connect_timeout=1500)
    assert encodes(eve)
    logged = capfd.readouterr().err
    for name in ("folder", "link-to-itself", "secret", "cut"):
        while logged.count(f"the key file '{name}.key' lets nobody in") < 2:
            time.sleep(0.1)  # what is written just while `capfd` is read would be lost
            logged += capfd.readouterr().err  # of ventilator and sink, each once
    for _ in range(2):
        assert encodes(connect(server, curve=of(keys, "admin-eve")))
    assert ".key" not in capfd.readouterr().err


def test_without_its_folder_nobody_is_known_until_it_is_back(serve: Serve, connect: Connect, keys: Path) -> None:
    server = serve(curve_dir=str(keys))
    alice = connect(server, curve=of(keys, "alice"))
    assert encodes(alice)
    (keys / "clients").rename(keys / "away")
    with pytest.raises((BadRequest, ConnectFailed), match="revoked"):
        encode_for_ever(alice)
    with pytest.raises(ConnectFailed):
        connect(server, curve=of(keys, "alice"), connect_timeout=1500)
    (keys / "away").rename(keys / "clients")
    while True:
        try:
            assert encodes(alice)
            break
        except (BadRequest, ConnectFailed):
            continue
    assert server.is_alive()


def test_a_sink_that_starts_again_needs_no_client_key(serve: Serve, connect: Connect, keys: Path) -> None:
    server = serve(curve_dir=str(keys))
    alice = connect(server, curve=of(keys, "alice"))
    sink = next(process["pid"] for process in alice.server_status["processes"] if process["name"] == "sink")
    (keys / "clients").rename(keys / "away")
    psutil.Process(sink).kill()
    with pytest.raises((BadRequest, ConnectFailed)):
        encode_for_ever(alice)
    (keys / "away").rename(keys / "clients")
    while True:
        try:
            assert encodes(connect(server, curve=of(keys, "alice"), connect_timeout=1500))
            break
        except (BadRequest, ConnectFailed):
            continue


# -- who may stop the server ------------------------------------------------------------------------------------------


def goes_on_after_a_stop(server: BertServer, keys: ClientKeys | None = None) -> None:
    """Over one connection, so that what is asked next is read after the stop."""
    name = secrets.token_hex(8).encode()  # an answer to one that had this name before would be lost
    with RawClient(server, name, keys) as raw:
        raw.push.send_multipart(encode_command(name, 1, Command.TERMINATION))
        raw.ask(*encode_command(name, 2, Command.SHOW_CONFIG))
        raw.ask(*encode_command(name, 3, Command.SHOW_CONFIG))
    assert server.is_alive()


def stops(server: BertServer, curve: str | None = None) -> None:
    BertServer.shutdown(port=server.config.port, curve=curve)
    server.join(30)
    assert not server.is_alive()


@pytest.mark.parametrize(
    ("policy", "may"),
    [
        ("local", {"local", "admin"}),
        ("key", {"admin"}),
        ("never", set()),
        ("anywhere", {"local", "admin", "stranger"}),
    ],
)
def test_who_may_stop_the_server(policy: str, may: set[str]) -> None:
    for who in ("local", "admin", "stranger"):
        assert may_terminate(policy, who == "admin", partial(eq, who, "local")) is (who in may), who


def test_with_key_a_local_client_may_not_stop_the_server(serve: Serve, keys: Path) -> None:
    server = serve(curve_dir=str(keys), terminate="key")
    goes_on_after_a_stop(server, ClientKeys.load(of(keys, "alice")))
    stops(server, of(keys, "admin-eve"))


def test_with_local_any_client_of_this_machine_may(serve: Serve, keys: Path) -> None:
    stops(serve(curve_dir=str(keys)), of(keys, "alice"))


def test_with_never_nobody_may_and_the_log_stays_short(
    serve: Serve, keys: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    server = serve(curve_dir=str(keys), terminate="never")
    for name in ["alice", "admin-eve"] * 20:
        goes_on_after_a_stop(server, ClientKeys.load(of(keys, name)))
    logged = capfd.readouterr().err
    assert "1 TERMINATION(s) were refused, the last one from 127.0.0.1: see -terminate, which is never" in logged
    assert logged.count("were refused") < 20


@pytest.mark.parametrize("options", [{"terminate": "anywhere"}, {"allow_remote_terminate": True}], ids=str)
def test_with_anywhere_all_may(serve: Serve, options: dict[str, Any]) -> None:
    server = serve(**options)
    assert server.config.terminate == "anywhere"
    stops(server)


def test_a_proxy_on_this_machine_makes_strangers_local(serve: Serve) -> None:
    """Which is why there is `-terminate never`."""
    server = serve(terminate="never")
    with closing(Proxy(server.config.port)) as proxy:
        sockets.push_once("127.0.0.1", proxy.port, encode_command(b"0", 0, Command.TERMINATION), 500, None)
        goes_on_after_a_stop(server)


def test_a_stop_without_a_key_reaches_nobody(serve: Serve, connect: Connect, keys: Path) -> None:
    server = serve(curve_dir=str(keys))
    sockets.push_once("127.0.0.1", server.config.port, encode_command(b"0", 0, Command.TERMINATION), 500, None)
    assert encodes(connect(server, curve=of(keys, "alice")))


def test_a_folder_without_keys_is_named(tmp_path: Path, keys: Path) -> None:
    with pytest.raises(StartError, match="has no keys: make them with bert-serving-keygen"):
        BertServer(fake_config(curve_dir=str(tmp_path)))
    for path in (keys / "clients").iterdir():
        path.unlink()
    with pytest.raises(StartError, match=r"nobody could connect: bert-serving-keygen \S+ NAME makes one"):
        BertServer(fake_config(curve_dir=str(keys)))
    with pytest.raises(ValueError, match=r"client\.key_secret is not a key file"):
        BertClient(curve=tmp_path)


@pytest.mark.parametrize("content", [b"", b"\xff" * 500, b'public-key = "short"', b"public-key"])
def test_a_broken_file_of_a_client_is_named(keys: Path, content: bytes) -> None:
    own = keys / "for_clients" / "alice" / "client.key_secret"
    own.write_bytes(content)
    with pytest.raises(ValueError, match=r"alice/client\.key_secret is not a key file"):
        BertClient(curve=own.parent)
    own.write_bytes((keys / "server.key").read_bytes())
    with pytest.raises(ValueError, match=r"alice/client\.key_secret contains no secret key"):
        BertClient(curve=own.parent)


def test_keys_are_for_their_owner_alone_and_never_overwritten(keys: Path) -> None:
    for path in keys.rglob("*"):
        assert path.stat().st_mode & 0o077 == 0, path
    before = {path: path.read_bytes() for path in keys.rglob("*") if path.is_file()}
    with pytest.raises(FileExistsError):
        make_keys(keys, ["alice"])
    assert before == {path: path.read_bytes() for path in keys.rglob("*") if path.is_file()}


def test_keygen_says_in_one_line_what_is_wrong(
    keys: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def said(*words: str) -> str:
        monkeypatch.setattr("sys.argv", ["bert-serving-keygen", str(keys), *words])
        with pytest.raises(SystemExit) as ended:
            keygen.main()
        assert ended.value.code == 2
        error = capsys.readouterr().err
        assert error.count("\n") == 1
        return error

    shutil.rmtree(keys / "for_clients" / "alice")  # as it should be once it was handed out
    assert "clients/alice.key already exists" in said("alice")
    (keys / "server.key_secret").write_text("cut")
    assert "server.key_secret (-curve_dir) contains no public key" in said("bob")
    assert not (keys / "clients" / "bob.key").exists()
