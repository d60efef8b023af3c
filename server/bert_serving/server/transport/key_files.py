"""The files of a key folder that say who may connect, judged one by one. Read by the gate, see `curve.py`.

What cannot be read lets nobody in: a folder that cannot be listed holds no key, nor does a file that is cut, or that
cannot be opened. A file is read again when anything of it differs that the file system tells. Where descriptors have
run out, which says nothing of the folder, files that are unchanged go on counting, and those that are gone do not.
"""

from __future__ import annotations

import errno
import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from bert_serving.client.errors import quoted
from bert_serving.client.keys import KeyFile

log = logging.getLogger(__name__)

SUFFIX = ".key"
ADMIN_PREFIX = "admin"
SETTLED_S = 3.0
"""A file system's clock may be this coarse: one that changed since may change again without a trace."""
MOST_NAMED = 5
"""Broken files that one look warns of by name; of more it tells the number."""

_NO_DESCRIPTOR = (errno.EMFILE, errno.ENFILE)


@dataclass(frozen=True)
class Keys:
    """Public keys in Z85; an administrator's is among the known ones. `names` has the name of each, as it is shown."""

    known: frozenset[str] = frozenset()
    admins: frozenset[str] = frozenset()
    names: Mapping[str, str] = field(default_factory=dict)


class FileState(NamedTuple):
    """What the file system tells of a file: another one is told by it, unless it was written within `SETTLED_S`."""

    device: int
    inode: int
    size: int
    changed_ns: int
    written_ns: int

    @staticmethod
    def of(path: str) -> FileState:
        found = os.stat(path)
        return FileState(found.st_dev, found.st_ino, found.st_size, found.st_ctime_ns, found.st_mtime_ns)

    @property
    def changed_s(self) -> float:
        """When it was changed last, by the wall clock."""
        return max(self.changed_ns, self.written_ns) / 1e9


@dataclass(frozen=True, slots=True)
class _Seen:
    """A file as it was read: its key, or why it has none."""

    state: FileState | None
    read_s: float
    key: str | None
    fault: str = ""

    def still_holds(self, state: FileState) -> bool:
        return self.state == state and self.read_s > state.changed_s + SETTLED_S


class KeyFolder:
    """The `*.key` files of one folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._seen: dict[str, _Seen] = {}
        self._warned: dict[str, str] = {}
        self._is_open = True

    def look(self, now_s: float) -> Keys:
        """The keys in it now. `now_s` is the time of the wall clock, which file systems go by."""
        before = self._seen
        self._seen = {name: self._look_at(name, before.get(name), now_s) for name in self._names()}
        self._warn(before)
        keys = {name: seen.key for name, seen in self._seen.items() if seen.key is not None}
        admins = frozenset(key for name, key in keys.items() if name.startswith(ADMIN_PREFIX))
        shown = {key: _shown(name.removesuffix(SUFFIX)) for name, key in reversed(keys.items())}
        return Keys(frozenset(keys.values()), admins, shown)

    def faults(self) -> dict[str, str]:
        """Why files hold no key, by their names as they are shown."""
        return {quoted(name): seen.fault for name, seen in self._seen.items() if seen.fault}

    def _names(self) -> list[str]:
        try:
            names = sorted(name for name in os.listdir(self._folder) if name.endswith(SUFFIX))
        except OSError as error:
            if error.errno in _NO_DESCRIPTOR:
                return list(self._seen)
            if self._is_open:
                log.error("the folder of clients' keys cannot be read, so no key is known: %s", _why(error))
            self._is_open = False
            return []
        if not self._is_open:
            log.warning("the folder of clients' keys can be read again")
        self._is_open = True
        return names

    def _look_at(self, name: str, before: _Seen | None, now_s: float) -> _Seen:
        path = f"{self._folder}{os.sep}{name}"
        state = None
        try:
            state = FileState.of(path)
            if before is not None and before.still_holds(state):
                return before
            file = KeyFile.read(Path(path))
        except OSError as error:
            if error.errno in _NO_DESCRIPTOR and before is not None and before.state == state:
                return before
            return _Seen(
                None, now_s, None, f"cannot be read ({_why(error)})"
            )  # never held on to: it may be readable soon
        except ValueError as error:
            return _Seen(state, now_s, None, str(error))
        if file.secret is not None:
            return _Seen(state, now_s, None, "contains a secret key, which belongs only to its owner")
        return _Seen(state, now_s, file.public.decode())

    def _warn(self, before: dict[str, _Seen]) -> None:
        """Once of each fault, and not before a second look: a file that is being written is soon whole."""
        faults = {name: seen.fault for name, seen in self._seen.items() if seen.fault}
        self._warned = {name: fault for name, fault in self._warned.items() if faults.get(name) == fault}
        lasting = [name for name in faults if name in before and before[name].fault == faults[name]]
        new = [name for name in lasting if name not in self._warned]
        for name in new[:MOST_NAMED]:
            log.warning("the key file %s lets nobody in: it %s", quoted(name), faults[name])
        if len(new) > MOST_NAMED:
            log.warning("%d more key files let nobody in", len(new) - MOST_NAMED)
        self._warned.update((name, faults[name]) for name in new)


def _shown(name: str) -> str:
    """A name of a client, of which those that `bert-serving-keygen` takes stay as they are."""
    return name if name.isprintable() else quoted(name)


def _why(error: OSError) -> str:
    return error.strerror or type(error).__name__
