"""Rows assembled by position: of a part in its worker, of a request in the sink. Pure.

Rows come in any order; a row that comes twice changes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]
Spans = Sequence[Sequence[int]]
"""Pairs of a first character of a text, and the one behind the last."""


class Assembly:
    """`count` rows, each a vector `[D]`, or a matrix `[length, D]` where token vectors are not pooled."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.truncated: set[int] = set()
        self.failures: dict[int, str] = {}
        self.tokens: dict[int, list[str]] = {}
        self.offsets: dict[int, Spans] = {}
        self.chunks: dict[int, Spans] = {}
        self.ids: dict[int, Sequence[int]] = {}
        self.special: dict[int, Sequence[int]] = {}
        self.num_tokens = np.zeros(count, np.int32)
        self._arrived = np.zeros(count, bool)
        self._missing = count
        self._vectors: Array | None = None
        self._matrices: dict[int, Array] | None = None

    @property
    def complete(self) -> bool:
        return not self._missing

    def put(self, where: Sequence[int], rows: Array | Sequence[Array]) -> None:
        """Place row i of `rows` at position `where[i]`: an array `[n, D]`, or n vectors or matrices.

        IndexError for a position outside, ValueError for rows that do not fit those before them.
        """
        if not isinstance(rows, np.ndarray) and len(rows) and rows[0].ndim == 1:
            rows = np.stack(rows)  # of a micro-batch with vectors of several widths
        index = self._index(where)
        if isinstance(rows, np.ndarray):
            self._put_vectors(index, where, rows)
        else:
            self._put_matrices(where, rows)
        self._arrive(index, len(where))

    def _put_vectors(self, index: slice | list[int], where: Sequence[int], rows: Array) -> None:
        if rows.ndim != 2 or len(rows) != len(where) or self._matrices is not None:
            raise ValueError(f"{len(where)} rows cannot be an array of shape {rows.shape} here")
        if self._vectors is None:
            if len(rows) == self.count and isinstance(index, slice):
                self._vectors = np.ascontiguousarray(rows)  # all there is: nothing is copied
                return
            self._vectors = np.zeros((self.count, rows.shape[1]), rows.dtype)
        if (rows.shape[1], rows.dtype) != (self._vectors.shape[1], self._vectors.dtype):
            raise ValueError(f"rows of {_kind(rows)} come after rows of {_kind(self._vectors)}")
        if self._missing:  # else they come twice
            self._vectors[index] = rows

    def _put_matrices(self, where: Sequence[int], rows: Sequence[Array]) -> None:
        if len(rows) != len(where) or self._vectors is not None:
            raise ValueError(f"{len(where)} rows cannot be {len(rows)} matrices here")
        self._matrices = self._matrices if self._matrices is not None else {}
        first = next(iter(self._matrices.values()), rows[0] if rows else None)
        for matrix in rows:
            if first is None or matrix.ndim != 2 or (matrix.shape[1], matrix.dtype) != (first.shape[1], first.dtype):
                raise ValueError("token vectors of one request differ in width or number type")
        self._matrices.update(zip(where, rows, strict=True))

    def _arrive(self, index: slice | list[int], number: int) -> None:
        """So many rows are there; those may be among them that were there before."""
        if self._missing < self.count:
            number = int(np.count_nonzero(~self._arrived[index]))
        self._missing -= number
        self._arrived[index] = True

    def _index(self, where: Sequence[int]) -> slice | list[int]:
        """A slice where the positions follow each other: numpy then copies in one go."""
        if len(where) == 1:
            where = range(where[0], where[0] + 1)
        if isinstance(where, range):
            if len(where) and not (where[0] >= 0 and where[-1] < self.count):
                raise IndexError(f"rows {where[0]} to {where[-1]} are outside of {self.count}")
            return slice(where.start, where.stop)
        if where and not 0 <= min(where) <= max(where) < self.count:
            raise IndexError(f"rows {min(where)} to {max(where)} are outside of {self.count}")
        return list(where)

    def fail(self, position: int, reason: str) -> None:
        """This row will not come."""
        self._arrive(self._index([position]), 1)
        self.failures[position] = reason

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


def _kind(rows: Array) -> str:
    return f"width {rows.shape[1]} in {rows.dtype}"


def unpack(array: Array, lengths: Sequence[int] | None) -> Array | list[Array]:
    """What `Assembly.packed` packed, as `Assembly.put` takes it. ValueError if the lengths do not add up."""
    if lengths is None:
        return array
    if any(length < 0 for length in lengths) or sum(lengths) != len(array):
        raise ValueError(f"{len(array)} token vectors are not {sum(lengths)}, as their lengths say")
    return np.split(array, np.cumsum(lengths)[:-1])
