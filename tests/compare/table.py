"""What the comparison found: one row a ratio, as Markdown and as JSON. Pure."""

from __future__ import annotations

import statistics
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

QUALITY = 0.9998
"""A short float counts as good enough if every text's cosine to the same engine's float32 is above this."""
BFLOAT16 = ("bfloat16", "autocast")
"""The numeric types of peers that are such a one."""


@dataclass(frozen=True)
class Side:
    """One contestant's figures, one a round."""

    name: str
    figures: tuple[float, ...]

    @property
    def median(self) -> float:
        return statistics.median(self.figures)


@dataclass(frozen=True)
class Row:
    """One comparison.

    `ratio` is `ours / other` where more is better and `other / ours` where less is, so that above 1 means that `ours`
    is the better one. Without sides `note` says why there is nothing to compare.
    """

    number: str
    what: str
    unit: str = ""
    ours: Side | None = None
    other: Side | None = None
    less_is_better: bool = False
    note: str = ""

    @property
    def ratio(self) -> float | None:
        """Of the medians."""
        if self.ours is None or self.other is None:
            return None
        return self._ratio(self.ours.median, self.other.median)

    @property
    def spread(self) -> tuple[float, float] | None:
        """The least and the greatest ratio of one round."""
        if self.ours is None or self.other is None:
            return None
        each = [self._ratio(*pair) for pair in zip(self.ours.figures, self.other.figures, strict=True)]
        return min(each), max(each)

    def _ratio(self, ours: float, other: float) -> float:
        return other / ours if self.less_is_better else ours / other


@dataclass(frozen=True)
class PeerResult:
    """An in-process engine at the better of its arrangements, computing in a type of that `kind`."""

    name: str
    side: Side
    worst_cosine: float | None
    kind: str = "float32"


@dataclass
class Report:
    """All of one run."""

    about: dict[str, Any]
    rows: list[Row] = field(default_factory=list)
    peers: list[PeerResult] = field(default_factory=list)
    measured: dict[str, list[float]] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """Plain values, each round's figures included."""
        rows = [{**asdict(row), "ratio": row.ratio, "spread": row.spread} for row in self.rows]
        return {
            "about": self.about,
            "rows": rows,
            "peers": [asdict(peer) for peer in self.peers],
            "measured": self.measured,
        }

    def as_markdown(self) -> str:
        """The table, the peers and what it was measured on."""
        lines = [
            "| | | this server | the other | ratio | in single rounds | |",
            "|---|---|---|---|---|---|---|",
            *map(_markdown, self.rows),
        ]
        if self.peers:
            lines += ["", "| in process, bulk | texts/s | worst cosine to its float32 |", "|---|---|---|"]
            lines += [f"| {peer.name} | {peer.side.median:.0f} | {_cosine(peer.worst_cosine)} |" for peer in self.peers]
        return "\n".join([*lines, "", *about_lines(self.about), ""])


def good_enough(peers: Collection[PeerResult], ours: float) -> list[Side]:
    """Those with float32 or a worst cosine above QUALITY.

    If ours is not above it, there is a model that bfloat16 does not suit, and whoever computes in it is good enough.
    """
    held = () if ours > QUALITY else BFLOAT16
    return [
        peer.side for peer in peers if peer.worst_cosine is None or peer.worst_cosine > QUALITY or peer.kind in held
    ]


def fastest(sides: Collection[Side]) -> Side:
    """The one with the highest median."""
    return max(sides, key=lambda side: side.median)


def chosen_rows(text: str, known: Collection[int]) -> set[int]:
    """`1,3,6` or `1-5,8`; ValueError for what is no row. All of them for an empty text."""
    chosen: set[int] = set()
    for part in filter(None, text.replace(" ", "").split(",")):
        first, _, last = part.partition("-")
        chosen |= set(range(int(first), int(last or first) + 1))
    if chosen - set(known):
        rows = ", ".join(map(str, sorted(known)))
        raise ValueError(f"there is no row {min(chosen - set(known))} here; the rows are {rows}")
    return chosen or set(known)


def _markdown(row: Row) -> str:
    name = f"| {row.number} | {row.what} "
    if row.ours is None:
        return f"{name}| | | - | | {cell(row.note)} |"
    own = f"| {row.ours.median:.4g} {row.unit} "
    if row.other is None or row.ratio is None or row.spread is None:
        return f"{name}{own}| | | | {cell(row.note)} |"
    other = f"| {row.other.median:.4g} {row.unit}, {row.other.name} "
    return f"{name}{own}{other}| {row.ratio:.2f} | {row.spread[0]:.2f} to {row.spread[1]:.2f} | {cell(row.note)} |"


def cell(text: str) -> str:
    """A text that does not break a table."""
    return " ".join(text.split()).replace("|", "/")[:400]


def _cosine(value: float | None) -> str:
    return "" if value is None else f"{value:.6f}"


def about_lines(about: Mapping[str, Any]) -> Sequence[str]:
    """What a table was measured on."""
    return [f"* {name}: {value}" for name, value in about.items()]
