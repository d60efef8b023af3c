"""Rows 3, 4, 5, 9 and 12 of two commits, taking turns: the base, what stands here, and the base once more.

The base has two servers, and all are started anew for each round: even servers of one commit differ from start to
start, by some percent for as long as they run. Each server is asked by the client of its commit.
"""

from __future__ import annotations

import itertools
import sys
import tempfile
from collections import defaultdict
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from environments import Missing

from compare import rows_inside, rows_legacy
from compare.commits import Commit
from compare.contenders import ALL_LAYERS
from compare.noop_engine import WORKERS
from compare.processes import Contestant, Server
from compare.setup import CLIENTS, MESSAGE_CLIENTS, QUICK, Setup, Sizes
from compare.table import Side
from compare.verdict import Beside, Figures, turns

BASE, OURS, AGAIN = SIDES = ("base", "this tree", "base again")

TITLES = {
    **{number: rows_legacy.TITLES[number] for number in (3, 4, 5)},
    9: "bulk through the service, all layers, float32",
    12: rows_inside.TITLES[12],
}
TOGETHER = ({3, 4, 5}, {9}, {12})
"""Rows of the same servers."""

WARM_UP_TEXTS = 64

Found = dict[tuple[str, str], list[float]]
"""Values, one a round, by a figure's number and by side."""


@dataclass(frozen=True)
class Figure:
    """What is read from an answer of the load; times, unless more is better."""

    number: str
    title: str
    unit: str
    read: Callable[[Mapping[str, float]], float]
    less_is_better: bool = True


@dataclass(frozen=True)
class Task:
    """What all sides do in a round, one after the other."""

    row: int
    do: str
    arguments: Mapping[str, int]
    figures: tuple[Figure, ...]


class Member:
    """One side: a server of a commit and the load on it."""

    def __init__(self, commit: Commit, start: list[str], texts: str, opened: ExitStack) -> None:
        self._workers = Path(opened.enter_context(tempfile.TemporaryDirectory(prefix="compare-workers-")))
        self._server = opened.enter_context(Server(start, sources=commit.folder, **{WORKERS: str(self._workers)}))
        ports = (str(self._server.port), str(self._server.port_out))
        self._load = opened.enter_context(Contestant(sys.executable, "load", *ports, texts, sources=commit.folder))
        self._load.ask("warm_up", count=WARM_UP_TEXTS)

    def ask(self, task: Task) -> dict[str, float]:
        """The load's answer, and `cpu_s` of the server's processes but those that said that they are workers."""
        begin_s = self._cpu_s()
        answer = self._load.ask(task.do, **task.arguments)
        return {**answer, "cpu_s": self._cpu_s() - begin_s}

    def workers(self) -> set[int]:
        """Process ids, as far as the engine tells them: that which computes nothing does."""
        return {int(file.name) for file in self._workers.iterdir()}

    def _cpu_s(self) -> float:
        return self._server.cpu_s(but=self.workers())


def rows(setup: Setup, wanted: set[int], commits: Mapping[str, Commit]) -> list[Beside]:
    """Of rows that belong together; `commits` by side."""
    if 12 in wanted:
        start, texts = [sys.executable, "-m", "compare.noop_server"], setup.short_texts
    else:
        start, texts = [sys.executable, "-m", "compare.checked_server", *_options(setup, wanted)], setup.texts
    small, whole = ([task for task in _tasks(sizes) if task.row in wanted] for sizes in (QUICK, setup.sizes))
    found: Found = defaultdict(list)
    for number in range(setup.rounds):
        order = turns(SIDES, number)
        with ExitStack() as opened:
            members = {side: Member(commits[side], start, texts, opened) for side in order}
            if 12 in wanted and not all(member.workers() for member in members.values()):
                raise Missing("no worker told its process id, so the CPU time of the others is not known")
            for task, member in itertools.product(small, members.values()):
                member.ask(task)
            _measure(setup, whole, members, found)
    figures = [figure for task in whole for figure in task.figures]
    return [_beside(figure, found) for figure in sorted(figures, key=lambda figure: figure.number)]


def _options(setup: Setup, wanted: set[int]) -> list[str]:
    """Those that rows 3 to 5 and 9 have beside 1.10 and engines in process, too."""
    if 9 in wanted:
        return ["-cpu", "-max_seq_len", "128", *ALL_LAYERS, "-model_dir", str(setup.encoder.folder)]
    return ["-cpu", "-num_worker", "1", "-max_seq_len", "128", "-model_dir", setup.google_model]


def _tasks(sizes: Sizes) -> list[Task]:
    bulk, many = f"1 client x {sizes.messages} texts", f"{MESSAGE_CLIENTS} clients x 1 text"
    texts, requests = sizes.message_bulks * sizes.messages, MESSAGE_CLIENTS * sizes.message_calls
    cpu = "CPU time of the server's processes but the workers"

    def rate(number: int) -> Figure:
        return Figure(str(number), TITLES[number], "texts/s", lambda a: a["rate"], less_is_better=False)

    def median_ms(number: int) -> Figure:
        return Figure(str(number), TITLES[number], "ms", lambda a: a["p50_ms"])

    return [
        Task(3, "many", {"clients": CLIENTS, "calls": sizes.many_calls}, (rate(3),)),
        Task(4, "mixed", {"calls": sizes.mixed_calls, "bulk": sizes.mixed_bulk}, (median_ms(4),)),
        Task(5, "single", {"calls": sizes.singles}, (median_ms(5),)),
        Task(9, "bulk", {"count": sizes.bulk}, (rate(9),)),
        Task(12, "bulks", {"count": sizes.messages, "calls": sizes.message_bulks}, (
            Figure("12a", f"{TITLES[12]}: {bulk}", "us a text", lambda a: 1e6 / a["rate"]),
            Figure("12c", f"{cpu}: {bulk}", "us a text", lambda a: 1e6 * a["cpu_s"] / texts),
        )),
        Task(12, "many", {"clients": MESSAGE_CLIENTS, "calls": sizes.message_calls}, (
            Figure("12b", f"{TITLES[12]}: {many}", "ms a request", lambda a: 1e3 / a["rate"]),
            Figure("12d", f"{cpu}: {many}", "ms a request", lambda a: 1e3 * a["cpu_s"] / requests),
        )),
    ]  # fmt: skip


def _measure(setup: Setup, tasks: list[Task], members: Mapping[str, Member], found: Found) -> None:
    """All sides do one thing before the next comes."""
    for task in tasks:
        for side, member in members.items():
            answer = member.ask(task)
            for figure in task.figures:
                value = figure.read(answer)
                found[figure.number, side].append(value)
                setup.record(f"{figure.number}, {side}", value, figure.unit)


def _beside(figure: Figure, found: Found) -> Beside:
    base, ours, again = (Side(side, tuple(found[figure.number, side])) for side in SIDES)
    return Beside(
        figure.number, figure.title, figure.unit, Figures(base, ours, again), less_is_better=figure.less_is_better
    )
