"""Rows 10 to 13: this server against itself and against what its parts could do at best."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

from compare.checkpoint import BERT_BASE, write_random
from compare.contenders import start_service
from compare.processes import Contestant, Server
from compare.protocol import cores
from compare.setup import MESSAGE_CLIENTS, Setup
from compare.table import Row, Side

TOGETHER = False
"""Each row is measured on its own."""

TITLES = {
    10: "matrix products inside the engine vs the bare products, BERT-base, 32 rows x 128 tokens",
    11: "bulk, one worker for each core vs one worker with a lane for each",
    12: "what the messages cost, an engine that computes nothing",
    13: "views of equal depth, bulk through the service, float32",
}
ASKED: dict[str, dict[str, Any]] = {
    "three views": {"views": [{"pooling": name} for name in ("REDUCE_MEAN", "REDUCE_MAX", "CLS_TOKEN")]},
    "one view": {"pooling": "REDUCE_MAX"},
    "no options": {},
}
"""What is asked of the texts: the server's own pooling is REDUCE_MEAN, and a lone view like that is no other way."""
MOST_TIMES = 1.15
"""Three views take at most so many times as long as one."""
WARM_UP_TEXTS = 64


def rows(setup: Setup, wanted: set[int]) -> list[Row]:
    makers = {10: _matrix_products, 11: _workers, 12: _messages, 13: _views}
    return [row for number in sorted(wanted) for row in makers[number](setup)]


def _matrix_products(setup: Setup) -> list[Row]:
    size = replace(BERT_BASE, layers=setup.sizes.layers)
    folder = write_random(setup.folder / "bert-base", size)
    figures: dict[str, list[float]] = {"engine": [], "bare": []}
    with Contestant(sys.executable, "matrix_products", str(folder), str(size.layers)) as products:
        for _ in range(setup.rounds):
            for side, found in figures.items():
                found.append(products.ask("measure", side=side, calls=setup.sizes.product_calls)["gflops"])
                setup.record(f"matrix products, {side}", found[-1], "GFLOP/s")
    ours, other = Side("engine", tuple(figures["engine"])), Side("bare products", tuple(figures["bare"]))
    return [Row("10", TITLES[10], "GFLOP/s", ours, other)]


def _workers(setup: Setup) -> list[Row]:
    count = len(cores())
    if count < 2:
        return [Row("11", TITLES[11], note="there is one core")]
    figures: dict[str, list[float]] = {}
    with ExitStack() as opened:
        services = {
            f"{number} worker(s)": start_service(setup, opened, "float32", "-num_worker", str(number))
            for number in (count, 1)
        }
        for _ in range(setup.rounds):
            for name, service in services.items():
                figures.setdefault(name, []).append(service.bulk(setup.sizes.bulk))
                setup.record(f"bulk, {name}", figures[name][-1], "texts/s")
    many, one = (Side(name, tuple(found)) for name, found in figures.items())
    return [Row("11", TITLES[11], "texts/s", many, one)]


def _messages(setup: Setup) -> list[Row]:
    sizes = setup.sizes
    sentence_us, request_ms, waited_ms = [], [], []
    with (
        Server([sys.executable, "-m", "compare.noop_server"]) as server,
        Contestant(sys.executable, "load", str(server.port), str(server.port_out), setup.short_texts) as load,
    ):
        load.ask("warm_up", count=sizes.messages)
        for _ in range(setup.rounds):
            sentence_us.append(1e6 / load.ask("bulk", count=sizes.messages)["rate"])
            many = load.ask("many", clients=MESSAGE_CLIENTS, calls=sizes.message_calls)
            request_ms.append(1e3 / many["rate"])
            waited_ms.append(many["p50_ms"])
            setup.record("messages, 1 client", sentence_us[-1], "us a text")
            setup.record(f"messages, {MESSAGE_CLIENTS} clients", request_ms[-1], "ms a request")
    waited = Side("", tuple(waited_ms)).median
    name = "this server"
    return [
        Row("12a", f"{TITLES[12]}: 1 client x {sizes.messages} texts", "us a text", Side(name, tuple(sentence_us))),
        Row(
            "12b", f"{TITLES[12]}: {MESSAGE_CLIENTS} clients x 1 text", "ms a request", Side(name, tuple(request_ms)),
            note=f"time over number of requests, the clients' share included; one request waits {waited:.1f} ms (p50)",
        ),
    ]  # fmt: skip


def _views(setup: Setup) -> list[Row]:
    figures: dict[str, list[float]] = {name: [] for name in ASKED}
    with ExitStack() as opened:
        service = start_service(setup, opened, "float32")
        for asked in ASKED.values():
            service.bulk(WARM_UP_TEXTS, asked=asked)
        for _ in range(setup.rounds):
            for name, asked in ASKED.items():
                figures[name].append(service.bulk(setup.sizes.bulk, asked=asked))
                setup.record(f"bulk, {name}", figures[name][-1], "texts/s")
    three, one, none = (Side(name, tuple(found)) for name, found in figures.items())
    return [
        views_row("13a", three, one, MOST_TIMES),
        views_row("13b", three, none),
        views_row("13c", one, none),
    ]


def views_row(number: str, ours: Side, other: Side, most: float | None = None) -> Row:
    """One way to ask beside another; the note says how often as long it takes, and whether that is at most `most`."""
    times = other.median / ours.median
    goal = "" if most is None else f", {'at most' if times <= most else 'NOT at most'} {most}"
    note = f"takes {times:.2f} times as long{goal}"
    return Row(number, f"{TITLES[13]}: {ours.name} vs {other.name}", "texts/s", ours, other, note=note)
