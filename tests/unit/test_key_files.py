"""Key files, judged one by one: what is whole lets its owner in, what is not lets nobody in and harms no other."""

from __future__ import annotations

import os
import resource
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import zmq
from hypothesis import example, given
from hypothesis import strategies as st
from key_folder import OTHER, key_of, text_of

from bert_serving.client.keys import LONGEST_FILE, KeyFile
from bert_serving.server.transport.key_files import SETTLED_S, KeyFolder

pytestmark = pytest.mark.usefixtures("logs_are_seen")


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


@given(st.integers(0, 200), st.binary(max_size=3))
@example(0, b"")
def test_a_cut_file_holds_its_key_or_none(end: int, more: bytes) -> None:
    try:
        found = KeyFile.parse(text_of(OTHER).encode()[:end] + more)
    except ValueError:
        return
    assert found.public.decode() == OTHER


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
    assert "contains no public key" in warning
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
