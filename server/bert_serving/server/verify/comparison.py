"""Whether vectors match the reference: how far apart they are for each text, and the verdict. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf, nan

import numpy as np

from bert_serving.server.config import ServerConfig
from bert_serving.server.engine.contract import FloatArray
from bert_serving.server.verify.pooling import num_labels

_MOST_OF_A_TEXT = 60
"""Letters that are printed of one."""


@dataclass(frozen=True)
class Comparison:
    """One text: the largest absolute difference of its numbers, and the cosine, with pooling NONE that of the worst
    token. `largest` is the reference's largest number, sign left out. `problem` says why nothing could be compared."""

    text: str
    difference: float = inf
    cosine: float = nan
    largest: float = 0.0
    problem: str = ""


@dataclass(frozen=True)
class Tolerance:
    """How far a vector may be from the reference: by the largest difference of a number, or by its cosine.

    Float32 rounds in the seventh digit, so numbers can be compared, by the largest one where that is above 1. In half
    precision single numbers are off by a percent and more, but a vector's direction is kept, in int8 nearly. One number
    alone has no direction, so it is compared itself.
    """

    precision: str
    most_difference: float = inf
    least_cosine: float = -inf

    @staticmethod
    def of(config: ServerConfig) -> Tolerance:
        """That of a server with these options."""
        precision = "float16" if config.fp16 else config.dtype
        if precision == "float32":
            return Tolerance(precision, most_difference=1e-5)
        is_int8 = precision == "int8"
        if num_labels(config) == 1:
            return Tolerance(precision, most_difference=5e-2 if is_int8 else 1e-2)
        return Tolerance(precision, least_cosine=0.98 if is_int8 else 0.999)

    def holds(self, one: Comparison) -> bool:
        """Whether this is near enough; what could not be compared never is."""
        is_near = one.difference <= self.most_difference * max(1.0, one.largest)
        return not one.problem and is_near and one.cosine > self.least_cosine

    def __str__(self) -> str:
        if self.most_difference == inf:
            return f"{self.precision}: each cosine above {self.least_cosine:g}"
        return f"{self.precision}: no difference above {self.most_difference:g}"


def compare(text: str, found: FloatArray, expected: FloatArray) -> Comparison:
    """Two vectors `[D]`, or one for each token, `[T, W]`, in any precision."""
    if found.shape != expected.shape:
        problem = f"its shape is {list(found.shape)}, but {list(expected.shape)} is expected"
        return Comparison(text, problem=problem)
    for whose, array in (("the server's", found), ("the reference's", expected)):
        if strange := int((~np.isfinite(array)).sum()):
            return Comparison(text, problem=f"{strange} of {whose} {array.size} numbers are not finite")
    left, right = found.astype(np.float64), expected.astype(np.float64)
    difference, largest = float(np.abs(left - right).max()), float(np.abs(right).max())
    return Comparison(text, difference, _least_cosine(left, right), largest)


def _least_cosine(left: FloatArray, right: FloatArray) -> float:
    """Of two rows at the same place; 1 where both are zero, as padding is, and 0 where one is."""
    left, right = np.atleast_2d(left), np.atleast_2d(right)
    lengths = np.linalg.norm(left, axis=1) * np.linalg.norm(right, axis=1)
    both_zero = ~(left.any(axis=1) | right.any(axis=1))
    products = np.where(both_zero, 1.0, (left * right).sum(axis=1))
    return float((products / np.where(lengths > 0, lengths, 1.0)).min())


def compare_all(texts: Sequence[str], found: Sequence[FloatArray], expected: Sequence[FloatArray]) -> list[Comparison]:
    """Text by text; ValueError if there are not as many of each."""
    return [compare(*parts) for parts in zip(texts, found, expected, strict=True)]


def apart(comparisons: Sequence[Comparison], tolerance: Tolerance) -> list[Comparison]:
    """Those that are not within the tolerance."""
    return [one for one in comparisons if not tolerance.holds(one)]


def table(comparisons: Sequence[Comparison], tolerance: Tolerance) -> str:
    """A line for each text, those that are apart marked."""
    marked = {id(one) for one in apart(comparisons, tolerance)}
    lines = ["difference    cosine"]
    for one in comparisons:
        shown = one.text if len(one.text) <= _MOST_OF_A_TEXT else f"{one.text[: _MOST_OF_A_TEXT - 2]}.."
        mark = f"  <- {one.problem or 'NOT THE SAME'}" if id(one) in marked else ""
        lines.append(f"{one.difference:10.1e}  {one.cosine:8.6f}  {shown!r}{mark}")
    return "\n".join(lines)


def verdict(comparisons: Sequence[Comparison], tolerance: Tolerance) -> str:
    """One line: the largest difference of all, and how many texts are within the tolerance."""
    largest = max(one.difference for one in comparisons)
    wrong, number = len(apart(comparisons, tolerance)), len(comparisons)
    result = f"{wrong} of {number} sentences are NOT the same" if wrong else f"all {number} sentences are the same"
    return f"largest difference {largest:.1e}: {result} ({tolerance})"


def advice(comparisons: Sequence[Comparison]) -> str:
    """What to do where the verdict is bad."""
    largest = max(one.largest for one in comparisons)
    return (
        f"Rounding grows with the numbers, the largest of which is {largest:.3g} here: where each cosine is 1.000000 "
        "and no difference above a few millionths of that, it may be all there is. Otherwise remove the graphs of "
        "earlier starts, ~/.cache/bert-serving, and run this again; if that changes nothing, report a bug with this "
        "output."
    )
