"""The two commits of `make compare ARGS='--base COMMIT'`: what stands here, and that commit in a temporary folder.

Both run in this virtual environment, each with its own `client` and `server`.
"""

from __future__ import annotations

import io
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path

from folders import ROOT

from compare import sources
from compare.processes import environment

GIT_TIMEOUT_S = 60
CHECK_TIMEOUT_S = 60


class NoCommit(Exception):
    """There is no such commit; the text says what git says."""


@dataclass(frozen=True)
class Commit:
    """Sources to measure: `folder` has `client` and `server`."""

    name: str
    folder: Path

    def check(self) -> None:
        """WrongSources if a process would get others."""
        command = [sys.executable, "-m", "compare.sources"]
        env = environment(self.folder)
        done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=CHECK_TIMEOUT_S)
        if done.returncode:
            reason = (done.stderr.strip().splitlines() or ["?"])[-1]
            raise sources.WrongSources(f"{self.name} cannot be measured: {reason[:500]}")


def here(root: Path = ROOT) -> Commit:
    """What stands here, changes that are not committed included."""
    changed = ", with changes" if _git(root, "status", "--porcelain", "--", "client", "server") else ""
    return Commit(f"{_short(root, 'HEAD')}{changed}", root)


def check_out(commit: str, folder: Path, root: Path = ROOT) -> Commit:
    """A commit's client and server, written to `folder`; git's own records stay as they are.

    Raises NoCommit.
    """
    name = _short(root, commit)
    with zipfile.ZipFile(io.BytesIO(_git(root, "archive", "--format=zip", name, "client", "server"))) as archive:
        archive.extractall(folder)
    return Commit(name, folder)


def _short(root: Path, commit: str) -> str:
    asked = ("rev-parse", "--short=12", "--verify", "--end-of-options", f"{commit}^{{commit}}")
    try:
        return _git(root, *asked).decode().strip()
    except NoCommit as error:
        raise NoCommit(f"{commit!r} is no commit of {root}: name one that git log shows ({error})") from None


def _git(root: Path, *arguments: str) -> bytes:
    try:
        done = subprocess.run(["git", "-C", str(root), *arguments], capture_output=True, timeout=GIT_TIMEOUT_S)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NoCommit(f"git cannot be asked: {error}") from None
    if done.returncode:
        raise NoCommit(f"git {arguments[0]} failed: {done.stderr.decode(errors='replace').strip()[-300:]}")
    return done.stdout
