"""Whether this server and who stands beside it compute the same: before anything is timed. Pure but for files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

SAME_VECTORS = 0.999
"""Vectors of one text by two engines in float32 have a cosine above this."""
SAME_SCORES = 2e-5
"""Scores of one document by two engines in float32 differ by no more."""

Hits = Sequence[tuple[int, float]]
"""Documents by their places in the list that was sent, and their scores; best first."""


def worst_cosine(vectors: Path, reference: Path) -> float:
    """The least cosine of a text's two vectors. Raises ValueError if there are not as many numbers in both."""
    return float(cosines(vectors, reference).min())


def cosines(vectors: Path, reference: Path) -> Any:
    """That of each text's two vectors, `[texts]`. Raises ValueError if there are not as many numbers in both."""
    a, b = (np.load(path).astype(np.float64) for path in (vectors, reference))
    if a.shape != b.shape:
        raise ValueError(f"vectors of {a.shape} stand beside vectors of {b.shape}")
    return (a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)


def apart(ours: Hits, theirs: Hits) -> float:
    """How far two rankings of the same documents lie apart, in scores; infinity if they are not of the same ones.

    It is the most that a document's two scores differ by, or that two documents differ by, in the one's scores, which
    the other has the other way round.
    """
    if sorted(index for index, _ in ours) != sorted(index for index, _ in theirs) or not ours:
        return float("inf")
    scores = dict(theirs)
    differences = [abs(score - scores[index]) for index, score in ours]
    return max(*differences, _descent(ours, scores), _descent(theirs, dict(ours)))


def _descent(hits: Hits, scores: dict[int, float]) -> float:
    """How far any document, by these scores, is above one that comes before it."""
    in_order = np.array([scores[index] for index, _ in hits])
    return float((in_order - np.minimum.accumulate(in_order)).max())
