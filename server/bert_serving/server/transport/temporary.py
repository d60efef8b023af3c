"""Folders for the files of one run, removed at its end; after a SIGKILL, this user's next run removes them.

A folder's owner holds a lock on a file in it, which the kernel takes back however the owner ends. A folder stays that
has no such file, belongs to another user, or was made by another machine, which may share a disk with this one.
"""

from __future__ import annotations

import fcntl
import logging
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from pathlib import Path

from bert_serving.server.errors import StartError

log = logging.getLogger(__name__)

LOCK = "owner.lock"


@contextmanager
def temporary_folder(prefix: str, what: str, option: str, parent: str | None = None) -> Iterator[Path]:
    """A new folder for this user alone in `parent`, or where temporary files go; gone at the end of the block.

    Removes those with this prefix that dead owners left there. StartError says that there can be none for `what`, and
    which `option` names another place.
    """
    with ExitStack() as opened:
        try:
            folder = _make(opened, prefix, parent)
        except OSError as error:
            raise StartError(f"cannot make a folder for {what}: {error}: set {option} to a writable folder") from None
        yield folder


def graph_folder(parent: str | None) -> AbstractContextManager[Path]:
    """For the graph of one run; `parent` is what `-graph_tmp_dir` says."""
    return temporary_folder("bert-graph-", "the graph", "-graph_tmp_dir, or TMPDIR,", parent)


def _make(opened: ExitStack, prefix: str, parent: str | None) -> Path:
    where = Path(parent or tempfile.gettempdir())
    _remove_left(where, prefix)
    made = tempfile.TemporaryDirectory(prefix=prefix, dir=where, ignore_cleanup_errors=True)
    folder = Path(opened.enter_context(made))
    opened.callback(os.close, _lock(folder))
    return folder


def _lock(folder: Path) -> int:
    """A descriptor that holds the lock. The file has its name only when it is locked: nobody finds it free before."""
    unnamed = folder / f"{LOCK}.new"
    descriptor = os.open(unnamed, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        os.write(descriptor, _machine())
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        unnamed.rename(folder / LOCK)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _remove_left(where: Path, prefix: str) -> None:
    for folder in where.glob(f"{prefix}*"):
        with suppress(OSError):  # it is alive, none of ours, or another one removes it just now
            if _is_own_folder(folder):
                _remove_if_left(folder)


def _is_own_folder(folder: Path) -> bool:
    about = folder.lstat()
    return stat.S_ISDIR(about.st_mode) and about.st_uid == os.getuid()


def _remove_if_left(folder: Path) -> None:
    descriptor = os.open(folder / LOCK, os.O_RDWR | os.O_NOFOLLOW)
    try:
        if os.read(descriptor, 1024) != _machine():
            return
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(folder, ignore_errors=True)
        log.info("removed %s, left over from a run that was killed", folder)
    finally:
        os.close(descriptor)


def _machine() -> bytes:
    """Which kernel runs here since when: containers of one machine have the same, and see each other's locks."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_bytes()
    except OSError:  # no Linux
        return b""
