"""Key files, judged one by one: what is whole lets its owner in, what is not lets nobody in and harms no other."""

from __future__ import annotations

import logging
import os
import resource
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import zmq
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bert_serving.client.keys import LONGEST_FILE, KeyFile
from bert_serving.server.errors import StartError
from bert_serving.server.log import ROOT
from bert_serving.server.transport import curve
from bert_serving.server.transport.curve import Gate, ServerKeys, check_keys, make_keys
from bert_serving.server.transport.key_files import SETTLED_S, KeyFolder

OTHER = zmq.curve_keypair()[0].decode()


@pytest.fixture(autouse=True)
def logs_are_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that ran in this process before keeps its log to itself."""
    monkeypatch.setattr(logging.getLogger(ROOT), "propagate", True)


def text_of(key: str, secret: str = "") -> str:
    return f'curve\n    public-key = "{key}"\n' + (f'    secret-key = "{secret}"\n' if secret else "")


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    """A folder with keys of alice and of an administrator."""
    make_keys(tmp_path / "keys", ["alice", "admin-eve"])
    return tmp_path / "keys"


@pytest.fixture
def clients(keys: Path) -> Path:
    return keys / "clients"


def key_of(clients: Path, name: str) -> str:
    return KeyFile.read(clients / f"{name}.key").public.decode()


def make_binary(path: Path) -> None:
    path.write_bytes(bytes(range(256)) * 4)


def make_cut(path: Path) -> None:
    whole = (path.parent / "alice.key").read_bytes()
    path.write_bytes(whole[: whole.index(b'public-key = "') + 30])


def make_secret(path: Path) -> None:
    path.write_text(text_of(*(key.decode() for key in zmq.curve_keypair())))


BROKEN: dict[str, Callable[[Path], object]] = {
    "binary": make_binary,
    "cut": make_cut,
    "empty": lambda path: path.write_bytes(b""),
    "no UTF-8": lambda path: path.write_bytes(b'public-key = "' + b"\xff" * 40 + b'"\n'),
    "a folder": lambda path: path.mkdir(),
    "a dangling link": lambda path: path.symlink_to("nowhere"),
    "a link to itself": lambda path: path.symlink_to(path.name),
    "unreadable": lambda path: path.symlink_to("/proc/self/mem"),
    "a pipe": lambda path: os.mkfifo(path),
    "endless": lambda path: path.symlink_to("/dev/zero"),
    "large": lambda path: path.write_bytes(text_of(OTHER).encode() + b"#" * LONGEST_FILE),
    "a secret key": make_secret,
    "39 characters": lambda path: path.write_text(text_of(OTHER[:-1])),
    "41 characters": lambda path: path.write_text(text_of(OTHER + "0")),
    "no Z85": lambda path: path.write_text(text_of("~" + OTHER[1:])),
    "above 32 bits": lambda path: path.write_text(text_of("#####" + OTHER[5:])),
    "two keys": lambda path: path.write_text(text_of(OTHER) + text_of(OTHER[::-1])),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_file_is_out_and_the_others_count(clients: Path, kind: str) -> None:
    folder, alice, eve = KeyFolder(clients), key_of(clients, "alice"), key_of(clients, "admin-eve")
    BROKEN[kind](clients / "admin-broken.key")
    assert folder.look(time.time()).known == {alice, eve}
    assert folder.look(time.time()).admins == {eve}
    (clients / "alice.key").unlink()
    assert folder.look(time.time()).known == {eve}, "revocation does not work beside it"
    assert list(folder.faults()) == ["'admin-broken.key'"]


def test_all_kinds_at_once(clients: Path) -> None:
    alice, eve = key_of(clients, "alice"), key_of(clients, "admin-eve")
    for number, make in enumerate(BROKEN.values()):
        make(clients / f"b{number}.key")
    folder = KeyFolder(clients)
    assert folder.look(time.time()).known == {alice, eve}
    assert len(folder.faults()) == len(BROKEN)


def test_a_file_that_is_being_written_comes_in_when_it_is_whole(
    clients: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder, whole = KeyFolder(clients), text_of(OTHER).encode()
    for end in range(0, len(whole), 7):
        (clients / "bob.key").write_bytes(whole[:end])
        assert folder.look(time.time()).known <= {key_of(clients, "alice"), key_of(clients, "admin-eve"), OTHER}
    (clients / "bob.key").write_bytes(whole)
    assert OTHER in folder.look(time.time()).known


@settings(deadline=None)
@given(st.integers(0, 200), st.binary(max_size=3))
@example(0, b"")
def test_a_cut_file_holds_its_key_or_none(end: int, more: bytes) -> None:
    try:
        found = KeyFile.parse(text_of(OTHER).encode()[:end] + more)
    except ValueError:
        return
    assert found.public.decode() == OTHER


@settings(deadline=None)
@given(st.one_of(st.binary(max_size=200), st.binary(max_size=60).map(lambda key: b'public-key = "' + key + b'"')))
def test_whatever_stands_in_it_is_a_key_or_a_value_error(content: bytes) -> None:
    try:
        found = KeyFile.parse(content)
    except ValueError:
        return
    with zmq.Context() as context, context.socket(zmq.DEALER) as sock:
        sock.setsockopt(zmq.CURVE_SERVERKEY, found.public)


@pytest.mark.parametrize("quote", ['"', "'", ""])
@pytest.mark.parametrize("end", ["\n", "\r\n", ""])
def test_other_ways_to_write_it(quote: str, end: str) -> None:
    content = f"# public-key = none{end or chr(10)}\tpublic-key={quote}{OTHER}{quote}{end}"
    assert KeyFile.parse(content.encode()).public.decode() == OTHER


def test_a_lasting_fault_is_warned_of_once_by_a_short_name(clients: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder, name = KeyFolder(clients), "\u202e\n" + "x" * 200
    (clients / f"{name}.key").write_text("nothing")
    for _ in range(2):
        folder.look(time.time())
    (warning,) = [record.getMessage() for record in caplog.records]
    assert "\\u202e\\nxxx" in warning
    assert "holds no public key" in warning
    assert len(warning) < 180
    for _ in range(5):
        folder.look(time.time())
    assert len(caplog.records) == 1
    (clients / f"{name}.key").write_text(text_of(OTHER[:-1]))
    for _ in range(2):
        folder.look(time.time())
    assert len(caplog.records) == 2, "another fault is told, too"


def test_a_thousand_broken_files_are_a_few_lines(clients: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = KeyFolder(clients)
    for number in range(1000):
        (clients / f"b{number}.key").touch()
    for _ in range(3):
        folder.look(time.time())
    assert len(caplog.records) < 10
    assert "995 more" in caplog.text


def test_a_fault_that_passes_is_not_warned_of(clients: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = KeyFolder(clients)
    for number in range(5):
        (clients / f"bob{number}.key").write_text("")
        folder.look(time.time())
        (clients / f"bob{number}.key").write_text(text_of(OTHER))
        folder.look(time.time())
    assert not caplog.records


@pytest.mark.parametrize("way", ["in place", "moved", "linked"])
def test_a_change_that_keeps_time_and_size_counts(clients: Path, way: str) -> None:
    folder, path, later_s = KeyFolder(clients), clients / "alice.key", time.time() + 10 * SETTLED_S
    path.write_text(text_of(OTHER))
    before = path.stat()
    assert OTHER in folder.look(later_s).known
    new = text_of(OTHER[5:] + OTHER[:5])
    if way == "in place":
        path.write_text(new)
    else:
        other = clients / "new"
        other.write_text(new)
        os.utime(other, ns=(before.st_atime_ns, before.st_mtime_ns))
        if way == "linked":
            path.unlink()
            path.symlink_to(other.name)
        else:
            other.rename(path)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert (path.stat().st_mtime_ns, path.stat().st_size) == (before.st_mtime_ns, before.st_size)
    found = folder.look(later_s).known
    assert OTHER not in found
    assert OTHER[5:] + OTHER[:5] in found


def test_a_change_within_one_tick_of_the_clock_counts(clients: Path) -> None:
    """Nothing that the file system tells differs then; so what is young is read again."""
    folder, path = KeyFolder(clients), clients / "alice.key"
    for number in range(300):
        key = OTHER[number % 40 // 5 * 5 :] + OTHER[: number % 40 // 5 * 5]
        path.write_text(text_of(key))
        assert key in folder.look(time.time()).known


def test_old_files_are_not_read_again(clients: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = KeyFolder(clients)
    before = folder.look(time.time() + 100)
    monkeypatch.setattr(KeyFile, "read", lambda path: pytest.fail(f"{path} was read again"))
    assert folder.look(time.time() + 101) == before


@pytest.mark.parametrize("kind", ["removed", "a file", "a link to itself"])
def test_a_folder_that_cannot_be_listed_holds_no_key(
    clients: Path, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    folder, away = KeyFolder(clients), clients.with_name("away")
    before = folder.look(time.time())
    clients.rename(away)
    if kind == "a file":
        clients.touch()
    elif kind == "a link to itself":
        clients.symlink_to(clients.name)
    for _ in range(3):
        assert not folder.look(time.time()).known
    assert caplog.text.count("no key is known") == 1
    if kind != "removed":
        clients.unlink()
    away.rename(clients)
    assert folder.look(time.time()) == before


@contextmanager
def without_descriptors() -> Iterator[None]:
    """Not one more file can be opened in this process."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    free = os.dup(0)
    os.close(free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (free, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_without_descriptors_known_keys_stay_and_removed_ones_go(clients: Path) -> None:
    folder, alice, eve = KeyFolder(clients), key_of(clients, "alice"), key_of(clients, "admin-eve")
    folder.look(time.time())
    with without_descriptors():
        with pytest.raises(OSError, match="Too many open files"):
            os.listdir(clients)
        assert folder.look(time.time()).known == {alice, eve}
        (clients / "alice.key").unlink()
        assert folder.look(time.time()).known == {eve}


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
        (no_pair, r"holds no keys: bert-serving-keygen \S+ NAME makes them"),
        (cut_pair, r"server.key_secret \(-curve_dir\) holds no pair of keys"),
        (public_pair, r"server.key_secret \(-curve_dir\) holds no pair of keys"),
        (mixed_pair, r"server.key_secret \(-curve_dir\) holds no pair of keys"),
        (other_public, r"server.key \(-curve_dir\) does not belong to server.key_secret"),
        (broken_public, r"server.key \(-curve_dir\) holds a key that is none"),
        (no_clients_folder, r"has no folder clients: bert-serving-keygen \S+ NAME makes one"),
        (no_client, r"nobody could connect: bert-serving-keygen \S+ NAME makes one$"),
        (broken_clients, r"nobody could connect: .* makes one; 'admin-eve.key' holds no public key$"),
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
    with pytest.raises(StartError, match=r"'alice\.key' holds no public key$"):
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
