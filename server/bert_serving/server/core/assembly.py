"""Rows put together by position: of a part in its worker, of a request in the sink. Pure.

Rows come in any order; a row that comes twice changes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]


class Assembly:
    """`count` rows, each a vector `[D]`, or a matrix `[length, D]` where token vectors are not pooled."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.truncated: set[int] = set()
        self.failures: dict[int, str] = {}
        self.tokens: dict[int, list[str]] = {}
        self.num_tokens = np.zeros(count, np.int32)
        self._arrived = np.zeros(count, bool)
        self._vectors: Array | None = None
        self._matrices: dict[int, Array] | None = None

    @property
    def complete(self) -> bool:
        return bool(self._arrived.all())

    def put(self, where: Sequence[int], rows: Array | Sequence[Array]) -> None:
        """Place row i of `rows` at position `where[i]`: an array `[n, D]`, or n matrices. IndexError if outside."""
        if isinstance(rows, np.ndarray):
            if self._vectors is None:
                self._vectors = np.zeros((self.count, rows.shape[1]), rows.dtype)
            self._vectors[_as_index(where)] = rows
        else:
            self._matrices = self._matrices or {}
            self._matrices.update(zip(where, rows, strict=True))
        self._arrived[_as_index(where)] = True

    def fail(self, position: int, reason: str) -> None:
        """This row will not come."""
        self.failures[position] = reason
        self._arrived[position] = True

    def packed(self) -> tuple[Array, list[int] | None]:
        """All rows in one array for the wire.

        Vectors: `[count, D]` and None. Matrices: one below the other, `[sum of lengths, D]`, and the lengths. A row
        that failed is zero, or has length 0; if none succeeded the array is `[0, 0]`.
        """
        if self._vectors is not None:
            return self._vectors, None
        if not self._matrices:
            return np.zeros((0, 0), np.float32), None
        some = next(iter(self._matrices.values()))
        none = np.zeros((0, some.shape[1]), some.dtype)
        rows = [self._matrices.get(position, none) for position in range(self.count)]
        return np.concatenate(rows), [len(row) for row in rows]

    def result(self, pad_to: int | None) -> Array:
        """The finished array: `[count, D]`, or `[count, T, D]` with zeros after each row's end.

        T is `pad_to`, or the longest row's length if that is None.
        """
        if self._vectors is not None:
            return self._vectors
        if self._matrices is None:
            raise ValueError("no row has arrived")
        some = next(iter(self._matrices.values()))
        longest = pad_to or max(map(len, self._matrices.values()))
        padded = np.zeros((self.count, longest, some.shape[1]), some.dtype)
        for position, matrix in self._matrices.items():
            padded[position, : len(matrix)] = matrix
        return padded


def _as_index(where: Sequence[int]) -> slice | list[int]:
    """A slice where the positions follow each other: numpy then copies in one go."""
    if isinstance(where, range):
        if where.start < 0:
            raise IndexError(f"row {where.start} does not exist")
        return slice(where.start, where.stop)
    return list(where)


def unpack(array: Array, lengths: Sequence[int] | None) -> Array | list[Array]:
    """What `Assembly.packed` packed, as `Assembly.put` takes it."""
    if lengths is None:
        return array
    return np.split(array, np.cumsum(lengths)[:-1])
