"""The figures of a simulation: throughput, latency by class, fairness, and who was busy. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from bert_serving.server.benchmark.figures import MS, padding_share, percentile
from bert_serving.server.benchmark.report import number
from scaling.simulation import Asked, Result

WARM_UP_SHARE = 0.25
"""Of the time of a trace: until then queues fill, and nothing is counted."""


@dataclass(frozen=True, slots=True)
class Figures:
    """Of one simulation, from the end of the warm-up to that of the trace. Shares are 0 to 1; None: not there.

    Latency is that of the requests that were answered in this time; where the service falls behind it grows as long as
    the trace lasts, and so does `unanswered`, the single texts that wait at the end.

    `fairness` is Jain's index over the rows that closed-loop clients got, see `jain`. `urgent` and `bulk` are the
    service's own classes (`-priority_batch_size`).
    """

    workers: int
    rows_per_s: float
    requests_per_s: float
    urgent_p50_ms: float | None
    urgent_p99_ms: float | None
    bulk_p50_ms: float | None
    bulk_p99_ms: float | None
    fairness: float | None
    ventilator_busy: float
    sink_busy: float
    lanes_busy: float
    padding: float | None
    messages: int
    requests: int
    unanswered: int
    refusals: int
    failed: int


def figures(result: Result) -> Figures:
    end_s = result.trace.duration_s
    begin_s = WARM_UP_SHARE * end_s
    answered = [
        asked for asked in result.requests if asked.answered_s is not None and begin_s <= asked.answered_s <= end_s
    ]
    urgent = [asked.latency_s * MS for asked in answered if asked.urgent]
    bulk = [asked.latency_s * MS for asked in answered if not asked.urgent]
    rows = list(rows_by_client(result.requests, begin_s, end_s).values())
    lanes = result.fleet.workers * result.fleet.lanes
    return Figures(
        workers=result.fleet.workers,
        rows_per_s=result.rows.rate(begin_s, end_s),
        requests_per_s=len(answered) / (end_s - begin_s),
        urgent_p50_ms=percentile(urgent, 50) if urgent else None,
        urgent_p99_ms=percentile(urgent, 99) if urgent else None,
        bulk_p50_ms=percentile(bulk, 50) if bulk else None,
        bulk_p99_ms=percentile(bulk, 99) if bulk else None,
        fairness=jain(rows) if rows else None,
        ventilator_busy=min(1.0, result.ventilator.rate(begin_s, end_s)),
        sink_busy=min(1.0, result.sink.rate(begin_s, end_s)),
        lanes_busy=min(1.0, result.lanes.rate(begin_s, end_s) / lanes),
        padding=padding_share(result.tokens, result.padded_tokens),
        messages=result.messages,
        requests=len(result.requests),
        unanswered=sum(asked.urgent and (asked.answered_s or end_s + 1) > end_s for asked in result.requests),
        refusals=sum(asked.refusals for asked in result.requests),
        failed=sum(asked.failed for asked in result.requests),
    )


def rows_by_client(requests: Sequence[Asked], begin_s: float, end_s: float) -> dict[bytes, float]:
    """The rows that each closed-loop client got between two times.

    A request's rows count evenly over the time that it took, as nobody sees from outside when each was done.
    """
    rows: dict[bytes, float] = {}
    for asked in requests:
        if asked.filler is None or asked.answered_s is None:
            continue
        took_s = max(asked.latency_s, 1e-9)
        inside_s = min(asked.answered_s, end_s) - max(asked.asked_s, begin_s)
        share = max(0.0, inside_s) / took_s
        rows[asked.client] = rows.get(asked.client, 0.0) + share * len(asked.lengths)
    return rows


def jain(amounts: Sequence[float]) -> float:
    """Jain's index of fairness: 1 if all have the same, 1/n if one has all.

    From R. Jain, D. Chiu, W. Hawe: A Quantitative Measure of Fairness, DEC-TR-301, 1984.
    """
    squares = sum(amount**2 for amount in amounts)
    return sum(amounts) ** 2 / (len(amounts) * squares) if squares else 1.0


_COLUMNS = {
    "workers": "workers",
    "rows/s": "rows_per_s",
    "requests/s": "requests_per_s",
    "urgent p50 ms": "urgent_p50_ms",
    "p99 ms": "urgent_p99_ms",
    "bulk p50 ms": "bulk_p50_ms",
    "p99": "bulk_p99_ms",
    "unanswered": "unanswered",
    "fairness": "fairness",
    "ventilator %": "ventilator_busy",
    "sink %": "sink_busy",
    "lanes %": "lanes_busy",
}
_SHARES = ("ventilator_busy", "sink_busy", "lanes_busy")


def table(rows: Sequence[Figures]) -> str:
    """A line for each simulation."""
    cells = [list(_COLUMNS), *([_cell(row, name) for name in _COLUMNS.values()] for row in rows)]
    widths = [max(len(line[column]) for line in cells) for column in range(len(_COLUMNS))]
    return "\n".join("  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True)) for line in cells)


def _cell(row: Figures, name: str) -> str:
    value = getattr(row, name)
    return number(100 * value if name in _SHARES else value)


def plain(row: Figures) -> dict[str, Any]:
    """For JSON."""
    return asdict(row)
