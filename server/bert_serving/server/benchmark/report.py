"""A report as Markdown and as JSON. Pure."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from bert_serving.server.benchmark.results import Kind, Point, Report, Table
from bert_serving.server.poolings import PoolingStrategy

SCHEMA = 1
"""The version of the JSON's layout."""

MISSING = "-"

_Cell = Callable[[Point], Any]

_RATES: list[tuple[str, _Cell]] = [
    ("sentences/s", lambda point: point.sentences_per_s and point.sentences_per_s.median),
    ("min", lambda point: point.sentences_per_s and point.sentences_per_s.min),
    ("max", lambda point: point.sentences_per_s and point.sentences_per_s.max),
    ("tokens/s", lambda point: point.tokens_per_s and point.tokens_per_s.median),
]
_LATENCIES: list[tuple[str, _Cell]] = [
    ("p50 ms", lambda point: point.latency_ms and point.latency_ms.p50),
    ("p99 ms", lambda point: point.latency_ms and point.latency_ms.p99),
    ("p99.9 ms", lambda point: point.latency_ms and point.latency_ms.p999),
    ("max ms", lambda point: point.latency_ms and point.latency_ms.max),
]
_PADDING: tuple[str, _Cell] = ("padding %", lambda point: None if point.padding is None else 100 * point.padding)
_REQUESTS: tuple[str, _Cell] = ("requests", lambda point: point.requests)
_UNANSWERED: tuple[str, _Cell] = ("unanswered", lambda point: point.unanswered)
_LAG: tuple[str, _Cell] = ("lag p99 ms", lambda point: point.lag_ms)

_COLUMNS: Mapping[Kind, list[tuple[str, _Cell]]] = {
    Kind.CLOSED: [*_RATES, *_LATENCIES[:2], _PADDING, _REQUESTS],
    Kind.OPEN: [_RATES[0], *_LATENCIES, _PADDING, _REQUESTS, _UNANSWERED, _LAG],
    Kind.BESIDE: [*_LATENCIES, ("bulk sentences/s", _RATES[0][1]), ("bulk tokens/s", _RATES[3][1]), _PADDING,
                  _REQUESTS, _UNANSWERED, _LAG],
}  # fmt: skip

_EXPLAINED = {
    Kind.CLOSED: "Closed loop: each client sends its next request when the last one is answered. Latency is that of "
    "a whole request.",
    Kind.OPEN: "Open loop: requests of one text arrive at random at this rate (1/s), whether or not earlier "
    "ones were answered. "
    "Latency counts from the scheduled arrival.",
    Kind.BESIDE: "Latency of single sentences of one client, alone and while another client keeps the server full "
    "with large requests. It counts from the scheduled arrival.",
}

_SERVER_SHOWN = (
    "url", "model_dir", "model", "version", "server_version", "tensorflow_version", "max_seq_len", "pooling_layer",
    "pooling_strategy", "max_batch_size", "max_batch_tokens", "num_worker", "cpu", "device_map", "dtype", "fp16", "xla",
)  # fmt: skip


def number(value: Any) -> str:
    """A figure with three significant digits, or all before the point."""
    if value is None:
        return MISSING
    if not isinstance(value, (int, float)):
        return str(value)
    if value == 0 or abs(value) >= 99.95 or isinstance(value, int):
        return f"{value:.0f}"
    return f"{value:.1f}" if abs(value) >= 9.995 else f"{value:.2f}"


def to_json(report: Report) -> str:
    """Everything, figures unrounded."""
    tables = [
        {"name": table.name, "kind": table.kind.value, "points": [asdict(point) for point in table.points]}
        for table in report.tables
    ]
    content = {
        "schema": SCHEMA,
        "machine": report.machine,
        "server": report.server,
        "settings": report.settings,
        "tables": tables,
        "notes": report.notes,
    }
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


def to_markdown(report: Report, plots: Sequence[str] = ()) -> str:
    """A page; `plots` are the names of tables that have a file NAME.svg next to it."""
    parts = ["# bert-serving-benchmark", _facts("Machine", report.machine), _facts("Server", _shown(report.server))]
    parts.append(_facts("Benchmark", report.settings))
    parts += ["\n".join(f"* {note}" for note in report.notes)] if report.notes else []
    for table in report.tables:
        parts += [f"## `{table.name}`", _EXPLAINED[table.kind]]
        parts += [f"![{table.name}]({table.name}.svg)"] if table.name in plots else []
        parts += [markdown_table(table), *_problems(table)]
    return "\n\n".join(parts) + "\n"


def markdown_table(table: Table) -> str:
    """One row a point, those of one kind of texts together; a column that nobody has a value for is left out."""
    measured = [point for point in table.points if not point.problem]
    columns: list[tuple[str, _Cell]] = [(f"`{table.name}`", _value), ("texts", lambda point: point.texts)]
    columns += [column for column in _COLUMNS[table.kind] if any(column[1](p) is not None for p in measured)]
    rows = [[number(cell(point)) for _, cell in columns] for point in by_texts(measured)]
    return _rows([title for title, _ in columns], rows)


def _value(point: Point) -> str:
    return f"{point.value:g}" if isinstance(point.value, float) else str(point.value)


def by_texts(points: Sequence[Point]) -> list[Point]:
    """The points of one kind of texts together, kinds and values in the order in which they were measured."""
    kinds = list(dict.fromkeys(point.texts for point in points))
    return sorted(points, key=lambda point: kinds.index(point.texts))


def summary(point: Point) -> str:
    """The point in a few words, for the terminal."""
    if point.problem:
        return f"not measured: {point.problem}"
    said = []
    if point.sentences_per_s is not None:
        said.append(f"{number(point.sentences_per_s.median)} sentences/s")
    if point.latency_ms is not None:
        said.append(f"p50 {number(point.latency_ms.p50)} ms, p99 {number(point.latency_ms.p99)} ms")
    if point.failed or point.unanswered:
        said.append(f"{point.failed} failed, {point.unanswered} unanswered")
    return ", ".join(said)


def _problems(table: Table) -> list[str]:
    problems: dict[str, list[str]] = {}
    for point in table.points:
        if point.problem:
            problems.setdefault(point.problem, []).append(f"{_value(point)} ({point.texts})")
    lost = [f"* {', '.join(values)}: not measured, {problem}" for problem, values in problems.items()]
    lost += [
        f"* {_value(point)} ({point.texts}): {point.failed} requests failed" for point in table.points if point.failed
    ]
    return ["\n".join(lost)] if lost else []


def _shown(server: Mapping[str, Any]) -> dict[str, Any]:
    shown = {name: server[name] for name in _SERVER_SHOWN if server.get(name) not in (None, [], False)}
    if "tensorflow_version" in shown:
        shown["tensorflow_version"] = ".".join(map(str, shown["tensorflow_version"]))
    if "pooling_strategy" in shown:
        shown["pooling_strategy"] = PoolingStrategy(shown["pooling_strategy"]).name
    return shown


def _facts(title: str, facts: Mapping[str, Any]) -> str:
    return _rows([title, ""], [[name, _plain(value)] for name, value in facts.items()])


def _plain(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return " ".join(map(str, value))
    return str(value).replace("|", "\\|")


def _rows(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
