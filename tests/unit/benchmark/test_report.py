"""Tables and JSON."""

from __future__ import annotations

import json

import pytest

from bert_serving.server.benchmark.figures import Latency, Spread
from bert_serving.server.benchmark.machine import cpu_model, describe_machine
from bert_serving.server.benchmark.report import markdown_table, number, summary, to_json, to_markdown
from bert_serving.server.benchmark.results import Kind, Point, Report, Table

LATENCY = Latency(1.234, 12.34, 123.4, 1234.5)
REFUSED = Point(128, "words", problem="the model takes 64 tokens at most")


def closed_table() -> Table:
    def point(value: int, texts: str, rate: float) -> Point:
        rates = Spread(rate, rate / 2, rate * 2)
        return Point(value, texts, 7, 3, rates, Spread(rate * 20, 1, 2), LATENCY, padding=0.125)

    measured = [point(16, "words", 1000), point(16, "sentences", 50.04), point(32, "words", 8.0)]
    return Table("max_seq_len", Kind.CLOSED, [*measured, REFUSED])


def test_closed_loop_table() -> None:
    assert markdown_table(closed_table()).splitlines() == [
        "| `max_seq_len` | texts | sentences/s | min | max | tokens/s | p50 ms | p99 ms | padding % | requests |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |",
        "| 16 | words | 1000 | 500 | 2000 | 20000 | 1.23 | 12.3 | 12.5 | 7 |",
        "| 32 | words | 8.00 | 4.00 | 16.0 | 160 | 1.23 | 12.3 | 12.5 | 7 |",
        "| 16 | sentences | 50.0 | 25.0 | 100 | 1001 | 1.23 | 12.3 | 12.5 | 7 |",
    ]


def test_columns_that_nobody_has_a_value_for_are_left_out() -> None:
    table = Table("num_client", Kind.CLOSED, [Point(4, "words", 7, 3, Spread(10.0, 9.0, 11.0), None, LATENCY)])
    assert markdown_table(table).splitlines() == [
        "| `num_client` | texts | sentences/s | min | max | p50 ms | p99 ms | requests |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
        "| 4 | words | 10.0 | 9.00 | 11.0 | 1.23 | 12.3 | 7 |",
    ]


def test_open_loop_table() -> None:
    point = Point(50.0, "words", 90, 3, Spread(49.0, 1, 2), None, LATENCY, lag_ms=0.5, unanswered=2)
    assert markdown_table(Table("arrival_rate", Kind.OPEN, [point])).splitlines() == [
        "| `arrival_rate` | texts | sentences/s | p50 ms | p99 ms | p99.9 ms | max ms | requests | unanswered "
        "| lag p99 ms |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |",
        "| 50 | words | 49.0 | 1.23 | 12.3 | 123 | 1234 | 90 | 2 | 0.50 |",
    ]


def test_interactive_table() -> None:
    alone = Point("alone", "words", 90, latency_ms=LATENCY, lag_ms=0.5)
    beside = Point("during bulk", "words", 90, 3, Spread(4000.0, 1, 2), None, LATENCY, lag_ms=0.5)
    assert markdown_table(Table("interactive", Kind.BESIDE, [alone, beside])).splitlines() == [
        "| `interactive` | texts | p50 ms | p99 ms | p99.9 ms | max ms | bulk sentences/s | requests | unanswered "
        "| lag p99 ms |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |",
        "| alone | words | 1.23 | 12.3 | 123 | 1234 | - | 90 | 0 | 0.50 |",
        "| during bulk | words | 1.23 | 12.3 | 123 | 1234 | 4000 | 90 | 0 | 0.50 |",
    ]


def test_page() -> None:
    server = {"model_dir": "M", "tensorflow_version": ["2", "21", "0"], "pooling_strategy": 2, "fp16": False}
    report = Report({"cpu": "a | b", "cores": 2}, server, {"test_num_client": (1, 4)}, [closed_table()], ["A note."])
    page = to_markdown(report, ["max_seq_len"])
    assert page.startswith(
        "# bert-serving-benchmark\n\n| Machine |  |\n| --- | --- |\n| cpu | a \\| b |\n| cores | 2 |\n"
    )
    for line in (
        "| tensorflow_version | 2.21.0 |",
        "| pooling_strategy | REDUCE_MEAN |",
        "| test_num_client | 1 4 |",
        "* A note.",
        "## `max_seq_len`",
        "![max_seq_len](max_seq_len.svg)",
        "* 128 (words): not measured, the model takes 64 tokens at most",
    ):
        assert line in page.splitlines()
    assert "fp16" not in page
    assert "![" not in to_markdown(report)


def test_json_holds_all_figures() -> None:
    content = json.loads(to_json(Report({"cores": 2}, {}, {}, [closed_table()])))
    assert list(content) == ["schema", "machine", "server", "settings", "tables", "notes"]
    [table] = content["tables"]
    assert (table["name"], table["kind"]) == ("max_seq_len", "closed loop")
    first, *_, last = table["points"]
    assert first["sentences_per_s"] == {"median": 1000, "min": 500, "max": 2000}
    assert first["latency_ms"] == {"p50": 1.234, "p99": 12.34, "p999": 123.4, "max": 1234.5}
    assert (last["sentences_per_s"], last["problem"]) == (None, REFUSED.problem)


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "-"), (0, "0"), (0.0, "0"), (7, "7"), (0.123, "0.12"), (9.99, "9.99"), (9.996, "10.0"), (99.96, "100"),
     (12345.6, "12346"), ("alone", "alone")],
)  # fmt: skip
def test_numbers(value: object, text: str) -> None:
    assert number(value) == text


def test_summary() -> None:
    assert summary(REFUSED) == "not measured: the model takes 64 tokens at most"
    point = Point(1, "words", 7, 3, Spread(10.0, 9.0, 11.0), None, LATENCY, failed=1, unanswered=2)
    assert summary(point) == "10.0 sentences/s, p50 1.23 ms, p99 12.3 ms, 1 failed, 2 unanswered"


def test_machine() -> None:
    assert cpu_model("processor\t: 0\nmodel name\t: AMD EPYC\nmodel name : other") == "AMD EPYC"
    assert cpu_model("") != ""
    assert {"cpu", "cores", "python", "tensorflow", "numpy", "zmq", "load_average"} <= set(describe_machine())
