"""The contract of an engine: all that the rest of the server knows about models. No TensorFlow, no sockets.

An engine module, named by `ServerConfig.engine`, has five functions:

    resolve(config: ServerConfig) -> ServerConfig
        Runs first, in the server's own process: quick, without TensorFlow. Checks that the model's files are there
        and that the options fit them, and fills in what the model's folder suggests, and `vector_bytes`.
    footprint(config: ServerConfig) -> Footprint
        What a model of that resolved config is, and the memory that it takes. Quick, as `resolve`.
    prepare(config: ServerConfig, progress: Progress) -> str
        Runs once, in a process of its own. Returns what `load` needs, such as the path of an optimized graph.
    preload() -> None
        Runs in each worker while `prepare` still runs: imports what takes long.
    load(config: ServerConfig, prepared: str, lanes: int, progress: Progress) -> Engine
        Runs in each worker.

All raise `StartError` (or `ConfigError` for an option) when they cannot go on, with a sentence that names the file,
variable or value.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, Union

import numpy as np

from bert_serving.server.wanted import PooledView, Wanted

FloatArray = np.ndarray[Any, np.dtype[np.floating[Any]]]
Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Row:
    """The features of one text, ready for the model.

    `ids` holds the token ids with the special ones, already cut to the length limit. The first `first_length` of
    them have type id 0, the rest (the second text of a pair and its [SEP], if the model tells them apart) 1. `special`
    lists the positions of the special tokens that were added, such as [CLS] and [SEP], which `-mask_cls_sep` hides. The
    first `prompt` tokens are left out of pooling. `views` are those that it is pooled to, empty for the server's own.
    `offsets` are the characters of each token, if somebody wants to know them.
    """

    ids: list[int]
    first_length: int
    special: tuple[int, ...]
    truncated: bool = False
    prompt: int = 0
    views: tuple[PooledView, ...] = ()
    offsets: tuple[tuple[int, int], ...] = ()

    @property
    def length(self) -> int:
        """Number of tokens, special ones included: the row's cost and its place among rows of similar length."""
        return len(self.ids)


@dataclass(frozen=True, slots=True)
class Chunks:
    """A long text in parts: a row for each, and which characters of the text it stands for.

    `truncated`: there is more of the text than so many parts.
    """

    rows: tuple[Row, ...]
    spans: tuple[tuple[int, int], ...]
    truncated: bool = False

    @property
    def length(self) -> int:
        """Number of tokens of all rows."""
        return sum(row.length for row in self.rows)


Made = Union[Row, Chunks, str]
"""What happens to a text: a row, several of them, or a sentence that says why there is none."""

Texts = Union[Sequence[str], Sequence[Sequence[str]], Sequence[Sequence[int]]]
"""Plain, as tokens, or as token ids without special ones."""

Vectors = Union[FloatArray, list[FloatArray]]
"""Pooled, and all to the same views: one array `[B, D]`. Else a list of B arrays, each `[D]` if it is pooled and
`[length of the row, D]` if not."""


@dataclass(frozen=True, slots=True)
class Footprint:
    """A model in words, and about how many bytes of memory a worker takes with it, at work and while it loads."""

    model: str
    worker_bytes: int
    loading_bytes: int


class Engine(Protocol):
    """A loaded model. Its methods may be called from several threads at once, but `close`."""

    @property
    def fingerprint(self) -> str:
        """Names all that shapes its vectors, in 32 characters at most: two engines' go together if theirs are equal."""

    @property
    def lanes(self) -> int:
        """How many threads should call `run` side by side."""

    @property
    def on_gpu(self) -> bool:
        """Whether a GPU computes, not the CPU."""

    def fingerprint_with(self, wanted: Wanted) -> str:
        """That of an engine which was started with the options of a request."""

    def features(self, texts: Texts, wanted: Wanted | None = None) -> list[Made]:
        """Rows of texts; for a text that cannot be one, a sentence that says why. None: as the config says."""

    def tokens(self, row: Row) -> list[str]:
        """The tokens of a row as they are shown to clients: [CLS], [SEP] and [UNK] included, no padding."""

    def compiles(self, rows: Sequence[Row]) -> bool:
        """Whether running these rows makes code for their shape first, which may take minutes."""

    def run(self, rows: Sequence[Row], *, alone: bool = False) -> Vectors:
        """Encode one micro-batch. A row's result does not depend on the other rows in it.

        `alone`: nothing else runs or waits, so all lanes' cores may work on it.
        """

    def close(self) -> None:
        """Give back what the model holds."""
