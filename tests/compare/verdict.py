"""What a comparison of two commits found: each figure beside the base's, which is measured twice. Pure.

All ratios are such that above 1 means better.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from enum import Enum
from typing import Any

from compare.table import Side, about_lines, cell


class Verdict(Enum):
    """What a ratio says, given how far figures of one and the same commit lie apart."""

    WORSE = "WORSE"
    WITHIN = "within the spread"
    BETTER = "better"


@dataclass(frozen=True)
class Figures:
    """One figure of both commits, a value a round: of the base, of ours, and of the base's second server."""

    base: Side
    ours: Side
    again: Side


@dataclass(frozen=True)
class Beside:
    """One figure's line. Without figures `note` says why there is nothing to compare."""

    number: str
    what: str
    unit: str = ""
    figures: Figures | None = None
    less_is_better: bool = False
    note: str = ""

    @property
    def ratio(self) -> float | None:
        """Of our median to that of all that the base had."""
        if self.figures is None:
            return None
        base = statistics.median([*self.figures.base.figures, *self.figures.again.figures])
        return gain(self.figures.ours.median, base, self.less_is_better)

    @property
    def spread(self) -> float | None:
        """See `spread`."""
        return None if self.figures is None else spread(self.figures.base.figures, self.figures.again.figures)

    @property
    def verdict(self) -> Verdict | None:
        """None where nothing was measured."""
        return None if self.ratio is None or self.spread is None else verdict(self.ratio, self.spread)


def gain(ours: float, base: float, less_is_better: bool) -> float:
    """How often as good."""
    over, under = (base, ours) if less_is_better else (ours, base)
    return over / under if under else (math.inf if over else 1.0)


def spread(first: Sequence[float], second: Sequence[float]) -> float:
    """How far apart two figures of one thing lie in a usual round, as a ratio of 1 or more.

    It is the median of each round's higher figure over the median of its lower one, which is as far as the two medians
    could lie apart if each round's two figures were swapped in any way.
    """
    pairs = list(zip(first, second, strict=True))
    return gain(statistics.median(map(max, pairs)), statistics.median(map(min, pairs)), less_is_better=False)


def verdict(ratio: float, spread: float) -> Verdict:
    """A ratio as far from 1 as the spread is still within it."""
    if ratio * spread < 1:
        return Verdict.WORSE
    return Verdict.BETTER if ratio > spread else Verdict.WITHIN


def turns(sides: Sequence[str], number: int) -> list[str]:
    """Who comes after whom in a round: each begins, and ends, as often as the others."""
    first = number % len(sides)
    return [*sides[first:], *sides[:first]]


@dataclass
class BesideReport:
    """All of one run with a base."""

    about: dict[str, Any]
    rows: list[Beside] = field(default_factory=list)
    measured: dict[str, list[float]] = field(default_factory=dict)

    @property
    def is_good(self) -> bool:
        """Whether all was measured and nothing is worse."""
        return all(row.verdict in (Verdict.WITHIN, Verdict.BETTER) for row in self.rows)

    def as_json(self) -> dict[str, Any]:
        """Plain values, each round's figures included."""
        return {"about": self.about, "rows": [_as_json(row) for row in self.rows], "measured": self.measured}

    def as_markdown(self) -> str:
        """The table and what it was measured on."""
        return "\n".join(
            [
                "| | | base | base again | this tree | ratio, above 1 is better | spread | |",
                "|---|---|---|---|---|---|---|---|",
                *map(_markdown, self.rows),
                "",
                *about_lines(self.about),
                "",
            ]
        )


def _as_json(row: Beside) -> dict[str, Any]:
    found = {"ratio": row.ratio, "spread": row.spread, "verdict": row.verdict and row.verdict.value}
    return {**asdict(row), **found}


def _markdown(row: Beside) -> str:
    name = f"| {row.number} | {row.what} "
    if row.figures is None or row.ratio is None or row.spread is None or row.verdict is None:
        return f"{name}| | | | - | | {cell(row.note)} |"
    sides = (row.figures.base, row.figures.again, row.figures.ours)
    medians = "".join(f"| {side.median:.4g} {row.unit} " for side in sides)
    return f"{name}{medians}| {row.ratio:.3f} | {1 / row.spread:.3f} to {row.spread:.3f} | {row.verdict.value} |"
