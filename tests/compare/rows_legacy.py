"""Rows 1 to 5: this server against bert-serving-server 1.10.0, both driven by the published 1.10 client."""

from __future__ import annotations

from collections import defaultdict
from contextlib import ExitStack

from environments import LEGACY, python_of, versions_of

from compare.processes import Contestant, Server, legacy_start, our_start
from compare.setup import CLIENTS, Setup, no_bfloat16
from compare.table import Row, Side

TOGETHER = True
"""One group of servers is measured for all rows."""

TITLES = {
    1: "bulk, -max_seq_len 128, one call of the 1.10 client, float32",
    2: "the same, -dtype bfloat16",
    3: f"{CLIENTS} clients, one sentence a call",
    4: "one sentence beside a bulk client, p50",
    5: "one sentence, idle server, p50",
}
OLD, OURS, SHORT_FLOATS = "1.10", "this server", "this server, bfloat16"
WARM_UP = 64


def rows(setup: Setup, wanted: set[int]) -> list[Row]:
    """Missing if there is no 1.10 here."""
    python = python_of(LEGACY)
    setup.versions.update(versions_of(python, LEGACY.shown))
    reason = no_bfloat16()
    starts = {OLD: legacy_start(python), OURS: our_start()}
    if 2 in wanted and not reason:
        starts[SHORT_FLOATS] = [*our_start(), "-dtype", "bfloat16"]
    options = ("-cpu", "-num_worker", "1", "-max_seq_len", "128", "-model_dir", setup.google_model)
    with ExitStack() as opened:
        loads = {}
        for name, start in starts.items():
            server = opened.enter_context(Server(start, *options))
            ports = (str(server.port), str(server.port_out))
            loads[name] = opened.enter_context(Contestant(python, "load", *ports, setup.texts))
            loads[name].ask("warm_up", count=WARM_UP)
        figures = _measure(setup, wanted, loads)
    return [_row(number, figures, reason) for number in sorted(wanted)]


def _measure(setup: Setup, wanted: set[int], loads: dict[str, Contestant]) -> dict[tuple[str, str], list[float]]:
    """Figures by what was done and by whom; in each round everybody does one thing before the next comes."""
    sizes = setup.sizes
    tasks = {
        "bulk": ({1, 2}, {"count": sizes.legacy_bulk}, "rate"),
        "many": ({3}, {"clients": CLIENTS, "calls": sizes.many_calls}, "rate"),
        "mixed": ({4}, {"calls": sizes.mixed_calls, "bulk": sizes.mixed_bulk}, "p50_ms"),
        "single": ({5}, {"calls": sizes.singles}, "p50_ms"),
    }
    figures: dict[tuple[str, str], list[float]] = defaultdict(list)
    for _ in range(setup.rounds):
        for task, (numbers, arguments, figure) in tasks.items():
            for name, load in loads.items():
                if numbers & wanted and (task == "bulk" or name != SHORT_FLOATS):
                    figures[task, name].append(load.ask(task, **arguments)[figure])
                    setup.record(f"{task}, {name}", figures[task, name][-1], "ms" if figure == "p50_ms" else "texts/s")
    return figures


def _row(number: int, figures: dict[tuple[str, str], list[float]], reason: str) -> Row:
    if number == 2 and reason:
        return Row("2", TITLES[2], note=reason)
    task = {1: "bulk", 2: "bulk", 3: "many", 4: "mixed", 5: "single"}[number]
    ours = SHORT_FLOATS if number == 2 else OURS
    return Row(
        str(number),
        TITLES[number],
        unit="ms" if number in (4, 5) else "texts/s",
        ours=Side(ours, tuple(figures[task, ours])),
        other=Side(OLD, tuple(figures[task, OLD])),
        less_is_better=number in (4, 5),
    )
