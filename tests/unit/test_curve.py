"""Who may connect: the gate, and folders with which no server starts."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest
import zmq
from key_folder import OTHER, key_of, text_of

from bert_serving.client.keys import KeyFile
from bert_serving.server.errors import StartError
from bert_serving.server.transport import curve
from bert_serving.server.transport.curve import Gate, ServerKeys, check_keys, make_keys
from bert_serving.server.transport.key_files import KeyFolder

pytestmark = pytest.mark.usefixtures("logs_are_seen")


# -- the gate ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def no_interval(monkeypatch: pytest.MonkeyPatch) -> None:
    """The gate looks whenever it is asked to."""
    monkeypatch.setattr(curve, "LOOK_INTERVAL_S", 0.0)


@pytest.mark.usefixtures("no_interval")
def test_a_removed_key_is_known_no_more_and_cannot_connect_again(keys: Path) -> None:
    insider = zmq.curve_keypair()[0].decode()
    gate, alice = Gate(keys, insider), key_of(keys / "clients", "alice")
    assert gate.knows(alice)
    assert gate.callback("bert-serving", alice.encode())
    assert not gate.is_admin(alice)
    (keys / "clients" / "alice.key").unlink()
    assert not gate.callback("bert-serving", alice.encode()), "though nobody has called refresh"
    assert not gate.knows(alice)
    assert gate.knows(insider)


def test_anything_is_a_user_that_nobody_knows(keys: Path) -> None:
    gate = Gate(keys)
    for user in (None, "", "\ud800", "é", "x" * 10_000):
        assert not gate.knows(user)
        assert not gate.is_admin(user)
    assert not gate.callback("", b"\xff")


@pytest.mark.usefixtures("no_interval")
def test_keys_have_the_names_of_their_files(keys: Path) -> None:
    insider = zmq.curve_keypair()[0].decode()
    alice, eve = key_of(keys / "clients", "alice"), key_of(keys / "clients", "admin-eve")
    (keys / "clients" / "alicia.key").write_text(text_of(alice))  # the same key by a second name
    (keys / "clients" / "odd\n\udcff.key").write_text(text_of(OTHER))
    gate = Gate(keys, insider)
    assert gate.name_of(alice) == "alice"
    assert gate.name_of(eve) == "admin-eve"
    assert gate.name_of(OTHER) == r"'odd\n\udcff'"
    assert gate.names == {"alice", "admin-eve", r"'odd\n\udcff'"}
    for user in (insider, None, "", "\ud800"):
        assert gate.name_of(user) is None
    (keys / "clients" / "admin-eve.key").unlink()
    gate.refresh()
    assert gate.name_of(eve) is None


@pytest.mark.usefixtures("no_interval")
def test_threads_may_ask_at_any_moment(keys: Path) -> None:
    gate, alice, eve = Gate(keys), key_of(keys / "clients", "alice"), key_of(keys / "clients", "admin-eve")
    ended, wrong = threading.Event(), []

    def ask() -> None:
        while not ended.is_set():
            if not gate.callback("bert-serving", eve.encode()) or not gate.is_admin(eve):
                wrong.append("eve was unknown for a moment")

    threads = [threading.Thread(target=ask) for _ in range(2)]
    for thread in threads:
        thread.start()
    path = keys / "clients" / "alice.key"
    for number in range(100):
        path.rename(path.with_suffix(".away")) if number % 2 == 0 else path.with_suffix(".away").rename(path)
        while gate.knows(alice) is (number % 2 == 0):
            gate.refresh()
    ended.set()
    for thread in threads:
        thread.join()
    assert not wrong


@pytest.mark.usefixtures("no_interval")
def test_an_error_of_any_kind_lets_nobody_in(
    keys: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    gate, alice = Gate(keys), key_of(keys / "clients", "alice")

    def fail(self: KeyFolder, now_s: float) -> None:
        raise MemoryError

    monkeypatch.setattr(KeyFolder, "look", fail)
    assert not gate.callback("bert-serving", alice.encode())
    assert not gate.knows(alice)
    assert "no key is known" in caplog.text


# -- the start --------------------------------------------------------------------------------------------------------


def no_pair(keys: Path) -> None:
    (keys / "server.key_secret").unlink()


def cut_pair(keys: Path) -> None:
    path = keys / "server.key_secret"
    path.write_bytes(path.read_bytes()[:-20])


def public_pair(keys: Path) -> None:
    (keys / "server.key_secret").write_bytes((keys / "server.key").read_bytes())


def mixed_pair(keys: Path) -> None:
    (keys / "server.key_secret").write_text(text_of(OTHER, zmq.curve_keypair()[1].decode()))


def other_public(keys: Path) -> None:
    (keys / "server.key").write_text(text_of(OTHER))


def broken_public(keys: Path) -> None:
    (keys / "server.key").write_text(text_of("x"))


def no_clients_folder(keys: Path) -> None:
    (keys / "clients").rename(keys / "people")


def no_client(keys: Path) -> None:
    for path in (keys / "clients").iterdir():
        path.unlink()


def broken_clients(keys: Path) -> None:
    for path in (keys / "clients").iterdir():
        path.write_text("")


def a_file(keys: Path) -> None:
    keys.rename(keys.with_name("away"))
    keys.touch()


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (no_pair, r"has no keys: make them with bert-serving-keygen \S+ NAME"),
        (cut_pair, r"server.key_secret \(-curve_dir\) contains no key pair"),
        (public_pair, r"server.key_secret \(-curve_dir\) contains no key pair"),
        (mixed_pair, r"server.key_secret \(-curve_dir\) contains no key pair"),
        (other_public, r"server.key \(-curve_dir\) does not belong to server.key_secret"),
        (broken_public, r"server.key \(-curve_dir\) contains an invalid key"),
        (no_clients_folder, r"has no folder clients: bert-serving-keygen \S+ NAME makes one"),
        (no_client, r"nobody could connect: bert-serving-keygen \S+ NAME makes one$"),
        (broken_clients, r"nobody could connect: .* makes one; 'admin-eve.key' contains no public key$"),
        (a_file, r"cannot be read: Not a directory"),
    ],
)
def test_a_broken_folder_is_refused_by_a_sentence(keys: Path, spoil: Callable[[Path], None], sentence: str) -> None:
    check_keys(keys)
    spoil(keys)
    with pytest.raises(StartError, match=sentence) as caught:
        check_keys(keys)
    assert "\n" not in str(caught.value)


def test_one_good_key_is_enough(keys: Path) -> None:
    (keys / "clients" / "alice.key").write_text("")
    (keys / "server.key").unlink()  # it is for those to whom it is handed out
    check_keys(keys)


def test_with_a_gateway_no_client_is_needed_but_a_broken_key_is_told(keys: Path) -> None:
    no_client(keys)
    check_keys(keys, has_gateway=True)
    (keys / "clients" / "alice.key").write_text("")
    with pytest.raises(StartError, match=r"'alice\.key' contains no public key$"):
        check_keys(keys, has_gateway=True)
    no_clients_folder(keys)
    with pytest.raises(StartError, match="has no folder clients"):
        check_keys(keys, has_gateway=True)


def test_no_key_is_made_in_a_broken_folder(keys: Path) -> None:
    mixed_pair(keys)
    with pytest.raises(StartError):
        make_keys(keys, ["bob"])
    assert not (keys / "clients" / "bob.key").exists()


def test_a_client_that_is_there_is_not_replaced_though_its_folder_was_handed_out(keys: Path) -> None:
    for path in (keys / "for_clients" / "alice").iterdir():
        path.unlink()
    (keys / "for_clients" / "alice").rmdir()
    before = key_of(keys / "clients", "alice")
    with pytest.raises(FileExistsError):
        make_keys(keys, ["alice"])
    assert key_of(keys / "clients", "alice") == before


def test_secrets_are_not_shown(keys: Path) -> None:
    assert ServerKeys.load(keys).secret.decode() not in repr(ServerKeys.load(keys))
    own = KeyFile.read(keys / "server.key_secret")
    assert own.secret is not None
    assert own.secret.decode() not in repr(own)
