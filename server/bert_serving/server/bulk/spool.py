"""Finished vectors: a file next to the output, with one row for each record of the input, in order.

After a kill or on a full disk the last row may be incomplete: the next run cuts it off and continues there. The first
bytes say what was encoded by which server, because rows of two kinds do not go together.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from enum import IntEnum
from pathlib import Path
from types import TracebackType
from typing import IO, Any

import numpy as np

from bert_serving.server.bulk.errors import BulkError

_HEADER_BYTES = 1 << 14
_BLOCK_ROWS = 4096


class Kind(IntEnum):
    """Of a row."""

    SKIPPED = 0
    VECTOR = 1
    ZERO = 2


class Spool:
    """Open for appending; a context manager. `shape` is that of one row, float32."""

    def __init__(self, path: Path, about: Mapping[str, Any], shape: Sequence[int]) -> None:
        """Begin the file, or continue with the one that is there. Raises BulkError if that is about something else."""
        self.path = path
        self._dtype = _row_type(shape)
        header = {**about, "shape": list(shape)}
        if _is_begun(path):
            _compare(path, header)
            self._file: IO[bytes] = path.open("r+b")
            self.count = _count(path, self._dtype)
            self._file.truncate(_HEADER_BYTES + self.count * self._dtype.itemsize)
            self._file.seek(0, os.SEEK_END)
        else:
            self._file = path.open("wb")
            self.count = 0
            self._file.write(json.dumps(header).encode().ljust(_HEADER_BYTES))

    def append(self, kinds: Sequence[Kind], vectors: Sequence[Any]) -> None:
        """Add rows; a vector that is None stands for zeros."""
        rows = np.zeros(len(kinds), self._dtype)
        rows["kind"] = kinds
        for row, vector in zip(rows, vectors, strict=True):
            if vector is not None:
                row["vector"] = vector
        self._file.write(rows.tobytes())
        self._file.flush()
        self.count += len(rows)

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one vector."""
        return self._dtype["vector"].shape

    def blocks(self) -> Iterator[tuple[Any, Any]]:
        """What was not skipped, some thousands at a time: the positions in the input, and the vectors."""
        with self.path.open("rb") as file:
            file.seek(_HEADER_BYTES)
            for start in range(0, self.count, _BLOCK_ROWS):
                rows = np.fromfile(file, self._dtype, min(_BLOCK_ROWS, self.count - start))
                kept = np.flatnonzero(rows["kind"] != Kind.SKIPPED)
                yield kept + start, np.ascontiguousarray(rows["vector"][kept])

    def __enter__(self) -> Spool:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()


def rows_in(path: Path) -> int:
    """How many are done already. Raises BulkError if the file is no spool."""
    return _count(path, _row_type(_header(path)["shape"])) if _is_begun(path) else 0


def _row_type(shape: Sequence[int]) -> np.dtype[Any]:
    return np.dtype([("kind", "u1"), ("vector", "<f4", tuple(shape))])


def _is_begun(path: Path) -> bool:
    return path.exists() and path.stat().st_size >= _HEADER_BYTES


def _count(path: Path, row: np.dtype[Any]) -> int:
    return (path.stat().st_size - _HEADER_BYTES) // row.itemsize


def _header(path: Path) -> dict[str, Any]:
    with path.open("rb") as file:
        try:
            header: dict[str, Any] = json.loads(file.read(_HEADER_BYTES))
        except ValueError:
            raise BulkError(f"{path} was not left by an earlier run: delete it to start over") from None
    return header


def _compare(path: Path, header: dict[str, Any]) -> None:
    earlier = _header(path)
    for name, value in header.items():
        if earlier.get(name) != value:
            raise BulkError(
                f"{path} was started with {name} = {earlier.get(name)!r}, and now it is {value!r}: restore "
                "that, or start over with -overwrite"
            )
