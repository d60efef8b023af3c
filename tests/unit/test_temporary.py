"""Folders of one run: gone with it, or removed by the next one, and never those of others."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from bert_serving.server.errors import StartError
from bert_serving.server.transport import temporary
from bert_serving.server.transport.temporary import LOCK, temporary_folder

OWNER = """
import sys, time
from bert_serving.server.transport.temporary import temporary_folder
with temporary_folder("test-", "a test", "-option", sys.argv[1]) as folder:
    (folder / "graph.pb").write_text("large")
    print(folder, flush=True)
    time.sleep(600)
"""


@contextmanager
def owner(where: Path) -> Iterator[tuple[subprocess.Popen[str], Path]]:
    """Another process with a folder in the same place."""
    process = subprocess.Popen([sys.executable, "-c", OWNER, str(where)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        yield process, Path(process.stdout.readline().strip())
    finally:
        process.kill()
        process.communicate()


def names_in(where: Path) -> list[str]:
    return sorted(path.name for path in where.iterdir())


def test_gone_at_the_end_of_the_block(tmp_path: Path) -> None:
    with temporary_folder("test-", "a test", "-option", str(tmp_path)) as folder:
        (folder / "file").touch()
        assert folder.stat().st_mode & 0o077 == 0
        assert names_in(tmp_path) == [folder.name]
    assert names_in(tmp_path) == []


def test_what_a_dead_owner_left_goes_and_what_a_live_one_has_stays(tmp_path: Path) -> None:
    with owner(tmp_path) as (dead, left), owner(tmp_path) as (_, live):
        dead.send_signal(signal.SIGKILL)
        dead.wait()
        assert (left / "graph.pb").exists()
        with temporary_folder("test-", "a test", "-option", str(tmp_path)) as own:
            assert names_in(tmp_path) == sorted([live.name, own.name])
            assert (live / "graph.pb").read_text() == "large"


@pytest.mark.parametrize("whose", ["without a lock", "another machine's", "a link", "another prefix", "another user's"])
def test_what_may_belong_to_others_stays(tmp_path: Path, whose: str, monkeypatch: pytest.MonkeyPatch) -> None:
    where, elsewhere = tmp_path / "where", tmp_path / "elsewhere"
    where.mkdir()
    elsewhere.mkdir()
    folder = where / ("other-1" if whose == "another prefix" else "test-1")
    if whose == "a link":
        folder.symlink_to(elsewhere)
    else:
        folder.mkdir()
    if whose != "without a lock":
        (folder / LOCK).write_bytes(b"elsewhere" if whose == "another machine's" else temporary._machine())
    if whose == "another user's":
        monkeypatch.setattr(os, "getuid", lambda: 12345)
    (folder / "file").touch()
    with temporary_folder("test-", "a test", "-option", str(where)):
        pass
    assert (folder / "file").exists()


def test_a_free_lock_of_this_machine_is_what_a_dead_owner_leaves(tmp_path: Path) -> None:
    """Else those above would stay for another reason than the one they name."""
    folder = tmp_path / "test-1"
    folder.mkdir()
    (folder / LOCK).write_bytes(temporary._machine())
    with temporary_folder("test-", "a test", "-option", str(tmp_path)):
        assert not folder.exists()


@pytest.mark.parametrize("kind", ["missing", "a file"])
def test_a_place_that_cannot_be_used_is_named(tmp_path: Path, kind: str) -> None:
    parent = tmp_path / "place"
    if kind == "a file":
        parent.touch()
    with (
        pytest.raises(
            StartError, match=rf"cannot make a folder for a test: .*{parent}.*: set -option to a writable folder"
        ),
        temporary_folder("test-", "a test", "-option", str(parent)),
    ):
        pass
