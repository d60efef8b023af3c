"""Streams: any number of texts in, batches of vectors out, with a bounded number in progress. No socket.

`BertClient.encode_stream` and `AsyncBertClient.encode_stream` differ only in how they wait.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any, Generic, Protocol, TypeVar

import numpy as np

from bert_serving.client.wire import RowsReply

STREAM_BATCH_SIZE = 256
STREAM_WINDOW = 8
"""Batches in progress: enough to let the server group texts of similar length, and to keep it busy."""

_T = TypeVar("_T")


@dataclass(frozen=True)
class Encoded:
    """A batch of a stream: `count` texts from position `start`. One of `embedding` and `error` is None.

    `truncated` has the positions, in the batch, of the texts that the server cut.
    """

    start: int
    count: int
    embedding: Any
    error: Exception | None
    truncated: list[int] = field(default_factory=list)


class Progress(Protocol):
    """What shows how far it is, such as a bar of tqdm."""

    def update(self, n: int) -> object: ...


def checked_size(name: str, size: int) -> int:
    """Raises ValueError if it is below 1."""
    if size < 1:
        raise ValueError(f"{name} must be at least 1, not {size}")
    return size


def batches(texts: Iterable[Any], batch_size: int, start: int = 0) -> Iterator[tuple[int, list[Any]]]:
    """The texts in lists of `batch_size`, each with the position of its first one. Takes no text before its time."""
    source, batch_size = iter(texts), checked_size("batch_size", batch_size)
    while batch := list(islice(source, batch_size)):
        yield start, batch
        start += len(batch)


class Window(Generic[_T]):
    """The batches in progress: at most `size`, taken in order or as they arrive. `_T` is the type of one of them."""

    def __init__(self, size: int, in_order: bool) -> None:
        self._size = checked_size("max_in_flight", size)
        self._in_order = in_order
        self._under_way: dict[_T, tuple[int, int]] = {}

    def __bool__(self) -> bool:
        return bool(self._under_way)

    @property
    def is_full(self) -> bool:
        return len(self._under_way) >= self._size

    @property
    def under_way(self) -> list[_T]:
        """All of them, in order."""
        return list(self._under_way)

    @property
    def awaited(self) -> list[_T]:
        """Those of which the next one is to be taken."""
        return self.under_way[:1] if self._in_order else self.under_way

    def add(self, batch: _T, start: int, count: int) -> None:
        self._under_way[batch] = start, count

    def take(self, done: Collection[_T]) -> tuple[int, int, _T]:
        """The first of `done`, with its position and size."""
        batch = min(done, key=lambda one: self._under_way[one][0])
        return *self._under_way.pop(batch), batch


def joined(replies: list[tuple[int, RowsReply]]) -> RowsReply:
    """The replies to batches, each with its position, as if they had been one."""
    first = replies[0][1]
    arrays = [reply.array for _, reply in replies]
    if first.array.ndim == 3:
        longest = max(array.shape[1] for array in arrays)
        arrays = [np.pad(array, ((0, 0), (0, longest - array.shape[1]), (0, 0))) for array in arrays]
    tokens = None if first.tokens is None else [row for _, reply in replies for row in reply.tokens or []]
    truncated = [start + index for start, reply in replies for index in reply.truncated]
    offsets = None if first.offsets is None else [row for _, reply in replies for row in reply.offsets or []]
    chunks = None if first.chunks is None else [row for _, reply in replies for row in reply.chunks or []]
    return replace(
        first,
        array=np.concatenate(arrays),
        tokens=tokens,
        truncated=truncated,
        num_tokens=None,
        offsets=offsets,
        chunks=chunks,
    )


@contextmanager
def progress_bar(total: int, done: int = 0) -> Iterator[Progress]:
    """A bar of tqdm on standard error, of which so much is done; nothing to see where that is not installed."""
    try:
        from tqdm import tqdm
    except ModuleNotFoundError:
        yield _Silent()
        return
    with tqdm(total=total, initial=done, unit=" texts") as bar:
        yield bar


class _Silent:
    def update(self, n: int) -> None:
        pass
