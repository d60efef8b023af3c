"""Streams: texts without an end in, batches of vectors out, with a bounded number of them under way. No socket.

`BertClient.encode_stream` and `AsyncBertClient.encode_stream` are the same but for how they wait.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import Any, Protocol

import numpy as np

STREAM_BATCH_SIZE = 256
STREAM_WINDOW = 8
"""Batches under way: enough for the server to find texts of like length in, and to be busy while others travel."""


@dataclass(frozen=True)
class Encoded:
    """A batch of a stream: `count` texts from position `start`. One of `embedding` and `error` is None."""

    start: int
    count: int
    embedding: Any
    error: Exception | None


class Progress(Protocol):
    """What shows how far it is, such as a bar of tqdm."""

    def update(self, n: int) -> object: ...


def batches(texts: Iterable[Any], batch_size: int, start: int = 0) -> Iterator[tuple[int, list[Any]]]:
    """The texts in lists of `batch_size`, each with the position of its first one. Takes no text before its time."""
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, not {batch_size}")
    source = iter(texts)
    while batch := list(islice(source, batch_size)):
        yield start, batch
        start += len(batch)


class Window:
    """The batches under way: at most `size`, taken in order or as they come."""

    def __init__(self, size: int, in_order: bool, timeout_s: float | None) -> None:
        if size < 1:
            raise ValueError(f"max_in_flight must be at least 1, not {size}")
        self._size = size
        self._in_order = in_order
        self._timeout_s = timeout_s
        self._under_way: dict[Future[Any], tuple[int, int]] = {}

    def __bool__(self) -> bool:
        return bool(self._under_way)

    @property
    def is_full(self) -> bool:
        return len(self._under_way) >= self._size

    def add(self, future: Future[Any], start: int, count: int) -> None:
        self._under_way[future] = start, count

    def take(self) -> tuple[int, int, Future[Any]]:
        """The next batch that is done, with its position and size; one that is not done in time is cancelled."""
        first = next(iter(self._under_way))
        waited = [first] if self._in_order else list(self._under_way)
        done = wait(waited, self._timeout_s, FIRST_COMPLETED).done
        future = min(done, key=lambda one: self._under_way[one][0]) if done else first
        if not done:
            future.cancel()
        return *self._under_way.pop(future), future

    def give_up(self) -> None:
        """Nobody wants the rest."""
        for future in self._under_way:
            future.cancel()


def joined(parts: list[Any]) -> Any:
    """The rows of batches in one array or list; matrices are padded with zeros to the longest."""
    if isinstance(parts[0], list):
        return [row for part in parts for row in part]
    longest = max(part.shape[1] for part in parts)
    if parts[0].ndim == 3:
        parts = [np.pad(part, ((0, 0), (0, longest - part.shape[1]), (0, 0))) for part in parts]
    return np.concatenate(parts)


@contextmanager
def progress_bar(total: int) -> Iterator[Progress]:
    """A bar of tqdm on standard error; nothing to see where that is not installed."""
    try:
        from tqdm import tqdm
    except ModuleNotFoundError:
        yield _Silent()
        return
    with tqdm(total=total, unit=" texts", unit_scale=True) as bar:
        yield bar


class _Silent:
    def update(self, n: int) -> None:
        pass
