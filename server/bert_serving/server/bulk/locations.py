"""Locations of files: on this machine, or at a URL, through pyarrow. Raises OSError if a location cannot be reached."""

from __future__ import annotations

import glob
import os
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import IO, Any, Protocol

from bert_serving.server.bulk.errors import BulkError, require

_COPY_BYTES = 8 << 20
_SECRET = re.compile(r"//[^/@]*:[^/@]*@")
"""A key in a URL, which nobody else is to read on a screen."""
_OBJECT_STORES = ("s3", "gcs", "abfs")
"""What is written there appears when it is complete, and there are no folders to make."""


class Location(Protocol):
    """A file or a folder, or where one may be."""

    @property
    def name(self) -> str:
        """As people know it."""

    @property
    def last(self) -> str:
        """The last part of its name."""

    @property
    def key(self) -> str:
        """The same for all names of the same location."""

    def exists(self) -> bool: ...

    def is_file(self) -> bool: ...

    def is_folder(self) -> bool: ...

    def size(self) -> int: ...

    def open(self) -> IO[bytes]:
        """For reading."""

    def files(self) -> Sequence[Location]:
        """Those of a folder, by name; not those of folders in it."""

    def matches(self) -> Sequence[Location]:
        """The files that this pattern matches, by name."""

    def parent(self) -> Location: ...

    def child(self, last: str) -> Location: ...

    def make_folder(self) -> None: ...

    def receive(self, path: Path) -> None:
        """Move a finished file of this machine here. Nobody ever sees half of it."""

    def delete(self) -> None: ...


def location_of(text: str) -> Location:
    """What an argument means: a path, or a URL if there is `://` in it. Raises BulkError for one that leads nowhere."""
    if "://" not in text:
        return LocalPath(Path(text))
    require("pyarrow", "a URL")
    import pyarrow
    from pyarrow.fs import FileSystem

    try:
        files, path = FileSystem.from_uri(text)
    except (pyarrow.ArrowException, OSError, NotImplementedError) as error:
        raise BulkError(f"{text} cannot be opened: {str(error).splitlines()[0]}") from None
    return StorePath(files, path.rstrip("/"), _SECRET.sub("//", text.partition("?")[0]).rstrip("/"))


def has_pattern(text: str) -> bool:
    """Whether it may be a pattern for several files. In a URL a `?` begins the options of the store."""
    return any(sign in text for sign in ("*" if "://" in text else "*?["))


class LocalPath:
    """See `Location`. A relative path holds whatever the working folder of a process is later."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._absolute = path.absolute()

    @property
    def name(self) -> str:
        return os.fsencode(self.path).decode("utf-8", "backslashreplace")  # a name may be in any encoding

    @property
    def last(self) -> str:
        return self._absolute.name

    @property
    def key(self) -> str:
        return str(self._absolute.resolve())

    def exists(self) -> bool:
        return self._absolute.exists()

    def is_file(self) -> bool:
        return self._absolute.is_file()

    def is_folder(self) -> bool:
        return self._absolute.is_dir()

    def size(self) -> int:
        return self._absolute.stat().st_size

    def open(self) -> IO[bytes]:
        return self._absolute.open("rb")

    def files(self) -> list[LocalPath]:
        return [LocalPath(path) for path in sorted(self.path.iterdir()) if path.is_file()]

    def matches(self) -> list[LocalPath]:
        paths = sorted(map(Path, glob.glob(str(self.path), recursive=True)))
        return [LocalPath(path) for path in paths if path.is_file()]

    def parent(self) -> LocalPath:
        return LocalPath(self.path.parent)

    def child(self, last: str) -> LocalPath:
        return LocalPath(self.path / last)

    def make_folder(self) -> None:
        self._absolute.mkdir(parents=True, exist_ok=True)

    def receive(self, path: Path) -> None:
        path.replace(self._absolute)

    def delete(self) -> None:
        self._absolute.unlink(missing_ok=True)


@dataclass(frozen=True)
class StorePath:
    """See `Location`. `files_at` is a file system of pyarrow, `path` what leads there in it."""

    files_at: Any
    path: str
    name: str

    @property
    def last(self) -> str:
        return self.path.rpartition("/")[2]

    @property
    def key(self) -> str:
        kind = self.files_at.type_name
        return str(Path(self.path).resolve()) if kind == "local" else f"{kind}:{self.path}"

    def exists(self) -> bool:
        return bool(self._info().type.value)

    def is_file(self) -> bool:
        return bool(self._info().is_file)

    def is_folder(self) -> bool:
        return self.exists() and not self.is_file()

    def size(self) -> int:
        return int(self._info().size)

    def open(self) -> IO[bytes]:
        file: IO[bytes] = self.files_at.open_input_file(self.path)
        return file

    def files(self) -> list[StorePath]:
        return self._below(recursive=False)

    def matches(self) -> list[StorePath]:
        """`*` and the like hold within one part of the path, as in a shell."""
        wanted = self.path.split("/")
        first = next((number for number, part in enumerate(wanted) if has_pattern(f"://{part}")), len(wanted) - 1)
        folder = self
        for _ in wanted[first:]:
            folder = folder.parent()
        found = folder._below(recursive=first < len(wanted) - 1)
        return [location for location in found if _fits(location.path.split("/"), wanted)]

    def parent(self) -> StorePath:
        return StorePath(self.files_at, self.path.rpartition("/")[0], self.name.rpartition("/")[0])

    def child(self, last: str) -> StorePath:
        return StorePath(self.files_at, f"{self.path}/{last}", f"{self.name}/{last}")

    def make_folder(self) -> None:
        if self._has_folders():
            self.files_at.create_dir(self.path, recursive=True)

    def receive(self, path: Path) -> None:
        beside = f"{self.path}.writing" if self._has_folders() else self.path
        try:
            with path.open("rb") as source, self.files_at.open_output_stream(beside) as target:
                shutil.copyfileobj(source, target, _COPY_BYTES)
        except BaseException:
            self._delete(beside)  # to close a stream, as the end of the block does, completes it
            raise
        if beside != self.path:
            self.files_at.move(beside, self.path)
        path.unlink()

    def delete(self) -> None:
        self._delete(self.path)

    def _info(self) -> Any:
        return self.files_at.get_file_info(self.path)

    def _has_folders(self) -> bool:
        real = self.files_at
        while real.type_name == "subtree":
            real = real.base_fs
        return real.type_name not in _OBJECT_STORES

    def _below(self, recursive: bool) -> list[StorePath]:
        from pyarrow.fs import FileSelector

        selector = FileSelector(self.path, allow_not_found=True, recursive=recursive)
        found = sorted(info.path for info in self.files_at.get_file_info(selector) if info.is_file)
        return [StorePath(self.files_at, path, f"{self.name}{path.removeprefix(self.path)}") for path in found]

    def _delete(self, path: str) -> None:
        if self.files_at.get_file_info(path).is_file:
            self.files_at.delete_file(path)


def _fits(parts: list[str], wanted: list[str]) -> bool:
    return len(parts) == len(wanted) and all(map(fnmatchcase, parts, wanted))
