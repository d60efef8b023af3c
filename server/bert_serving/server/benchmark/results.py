"""What was measured, as plain data: the runner makes it, report and plots read it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Union

from bert_serving.server.benchmark.figures import Latency, Spread

Value = Union[int, float, str]


class Kind(Enum):
    """How the load of a table is made."""

    CLOSED = "closed loop"
    OPEN = "open loop"
    BESIDE = "bulk and interactive"


@dataclass(frozen=True)
class Point:
    """One measurement: a row of a table. What does not apply or is not known is None.

    `value` is that of the varied parameter, `texts` the kind of workload. `latency_ms` is that of requests; in an open
    loop it counts from the scheduled arrival. `lag_ms` is how late requests were sent, 99th percentile: if it is of
    the size of the latency, the load was more than this machine could make. `padding` is a share, 0 to 1. `problem`
    says why there are no figures.
    """

    value: Value
    texts: str
    requests: int = 0
    repeats: int = 0
    sentences_per_s: Spread | None = None
    tokens_per_s: Spread | None = None
    latency_ms: Latency | None = None
    padding: float | None = None
    lag_ms: float | None = None
    failed: int = 0
    unanswered: int = 0
    problem: str = ""


@dataclass
class Table:
    """The points of one varied parameter."""

    name: str
    kind: Kind
    points: list[Point] = field(default_factory=list)


@dataclass
class Report:
    """Everything of a run. `machine`, `server` and `settings` are plain values by name; `notes` are sentences."""

    machine: dict[str, Any]
    server: dict[str, Any]
    settings: dict[str, Any]
    tables: list[Table] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def table(self, name: str, kind: Kind) -> Table:
        """The table of that name, made if it is not there yet."""
        for table in self.tables:
            if table.name == name:
                return table
        self.tables.append(Table(name, kind))
        return self.tables[-1]

    def note(self, sentence: str) -> None:
        """Add a sentence, once."""
        if sentence not in self.notes:
            self.notes.append(sentence)

    @property
    def points(self) -> Sequence[Point]:
        """Of all tables."""
        return [point for table in self.tables for point in table.points]
