"""The vectors of a long text's chunks, until all are there and become one. Pure; a worker keeps them for each part."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from bert_serving.server.engine.contract import Chunks

Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True, slots=True)
class Segment:
    """So many numbers of a vector that are one view's; of length 1 if it is `normalized`."""

    width: int
    normalized: bool


@dataclass
class ChunkMean:
    """The chunks of one text. They come in any order, and are summed in theirs, so that the same text has the same
    vector each time."""

    chunks: Chunks
    segments: Sequence[Segment]
    _vectors: dict[int, Array] = field(default_factory=dict)

    def put(self, number: int, vector: Array) -> Array | None:
        """Add the vector `[W]` of a chunk; once all are there, that of the text: their mean, weighted by the tokens."""
        self._vectors[number] = vector
        if len(self._vectors) < len(self.chunks.rows):
            return None
        vectors: Array = np.stack([self._vectors[place] for place in range(len(self.chunks.rows))])  # (chunks, W)
        if len(vectors) == 1:
            return vector
        weights = np.array([max(1, row.length - len(row.special)) for row in self.chunks.rows], np.float64)
        mean: Array = weights @ vectors.astype(np.float64) / weights.sum()  # (W,)
        begin = 0
        for segment in self.segments:
            part = mean[begin : begin + segment.width]
            if segment.normalized and (length := float(np.linalg.norm(part))) > 0:
                part /= length
            begin += segment.width
        return np.asarray(mean, vectors.dtype)
