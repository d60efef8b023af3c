"""Rows 16 and 17: this server over HTTP, against infinity and against its own ZeroMQ.

Each load is a process of its own. infinity serves the same folder by torch; both are asked for OpenAI's embeddings, in
base64.
"""

from __future__ import annotations

import sys
import urllib.error
import urllib.request
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

from environments import INFINITY, Missing, python_of, versions_of
from ports import free_ports

from compare.agreement import SAME_VECTORS, worst_cosine
from compare.processes import Contestant, Process, Server, environment, our_start
from compare.setup import CLIENTS, MESSAGE_CLIENTS, Setup
from compare.table import Row, Side

TOGETHER = True
"""One server is measured for both rows."""

BULK_TEXTS = 256
CHECKED_TEXTS = 64
TITLES = {
    16: f"HTTP, {CLIENTS} clients x 1 text, and {BULK_TEXTS} texts a call, vs infinity",
    17: f"HTTP, {MESSAGE_CLIENTS} clients x 1 text, and {BULK_TEXTS} texts a call as octets, vs ZeroMQ",
}
MODEL = "model"
OURS, OTHER, ZEROMQ = "this server, HTTP", "infinity, torch", "this server, ZeroMQ"

Rates = dict[tuple[str, str], list[float]]
"""Texts a second, one a round, by what was done and who did it."""


class Infinity(Process):
    """infinity, with the same model."""

    def __init__(self, python: Path, folder: Path) -> None:
        (self.port,) = free_ports(1)
        options = {"model-id": folder, "served-model-name": MODEL, "engine": "torch", "device": "cpu",
                   "dtype": "float32", "host": "127.0.0.1", "port": self.port}  # fmt: skip
        words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
        command = [str(python.parent / "infinity_emb"), "v2", *words]
        super().__init__(command, environment(DO_NOT_TRACK="1", INFINITY_ANONYMOUS_USAGE_STATS="0"))

    def __enter__(self) -> Infinity:
        self.wait_until(lambda: _is_healthy(self.port), "infinity")
        return self


def rows(setup: Setup, wanted: set[int]) -> list[Row]:
    """If infinity is not here, or makes other vectors, row 16 says so in its note."""
    folder, texts = setup.encoder.folder, setup.short_texts
    (http_port,) = free_ports(1)
    options = ("-cpu", "-model_dir", str(folder), "-http_port", str(http_port), "-http_max_connect", "64")
    with ExitStack() as opened:
        server = opened.enter_context(Server(our_start(), *options))
        ours = _load(opened, http_port, "/v1/embeddings", texts)
        ours.ask("warm_up", count=CHECKED_TEXTS, save=str(setup.folder / "http.npy"))
        made: list[Row] = []
        if 16 in wanted:
            made += _beside_infinity(setup, ours, opened)
        if 17 in wanted:
            ports = (str(server.port), str(server.port_out))
            zeromq = opened.enter_context(Contestant(sys.executable, "load", *ports, texts))
            zeromq.ask("warm_up", count=CHECKED_TEXTS)
            made += _over_zeromq(setup, ours, zeromq)
    return made


def _beside_infinity(setup: Setup, ours: Contestant, opened: ExitStack) -> list[Row]:
    try:
        python = python_of(INFINITY)
        infinity = opened.enter_context(Infinity(python, setup.encoder.folder))
        other = _load(opened, infinity.port, "/embeddings", setup.short_texts)
        other.ask("warm_up", count=CHECKED_TEXTS, save=str(setup.folder / "infinity.npy"))
    except Missing as error:
        return [Row("16", TITLES[16], note=str(error))]
    setup.versions.update(versions_of(python, INFINITY.shown))
    worst = worst_cosine(setup.folder / "http.npy", setup.folder / "infinity.npy")
    if not worst > SAME_VECTORS:
        return [Row("16", TITLES[16], note=f"infinity makes other vectors: worst cosine {worst:.4f}")]
    calls = setup.sizes.many_calls
    many, bulk = f"HTTP, {CLIENTS} clients x 1 text", f"HTTP, {BULK_TEXTS} texts a call"
    rates = _measured(setup, [
        (many, OURS, lambda: ours.ask("many", clients=CLIENTS, calls=calls)),
        (many, OTHER, lambda: other.ask("many", clients=CLIENTS, calls=calls)),
        (bulk, OURS, lambda: ours.ask("bulks", count=BULK_TEXTS, calls=3)),
        (bulk, OTHER, lambda: other.ask("bulks", count=BULK_TEXTS, calls=3)),
    ])  # fmt: skip
    return _rows("16", rates, OURS, OTHER, f"worst cosine of {CHECKED_TEXTS} texts {worst:.6f}")


def _over_zeromq(setup: Setup, ours: Contestant, zeromq: Contestant) -> list[Row]:
    calls = setup.sizes.many_calls
    many, bulk = f"{MESSAGE_CLIENTS} clients x 1 text", f"{BULK_TEXTS} texts a call, octets"
    rates = _measured(setup, [
        (many, OURS, lambda: ours.ask("many", clients=MESSAGE_CLIENTS, calls=calls)),
        (many, ZEROMQ, lambda: zeromq.ask("many", clients=MESSAGE_CLIENTS, calls=calls)),
        (bulk, OURS, lambda: ours.ask("bulks", count=BULK_TEXTS, calls=3, octets=True)),
        (bulk, ZEROMQ, lambda: zeromq.ask("bulks", count=BULK_TEXTS, calls=3)),
    ])  # fmt: skip
    return _rows("17", rates, OURS, ZEROMQ, "")


def _measured(setup: Setup, tasks: Sequence[tuple[str, str, Callable[[], dict[str, float]]]]) -> Rates:
    """All do one thing before the next comes; once before what counts."""
    rates: Rates = defaultdict(list)
    for number in range(setup.rounds + 1):
        for what, who, do in tasks:
            rate = do()["rate"]
            if number:
                rates[what, who].append(rate)
                setup.record(f"{what}, {who}", rate, "texts/s")
    return rates


def _rows(number: str, rates: Rates, ours: str, other: str, note: str) -> list[Row]:
    kinds = dict.fromkeys(what for what, _ in rates)
    return [
        Row(
            f"{number}{letter}", f"{what}, vs {other}", "texts/s",
            Side(ours, tuple(rates[what, ours])), Side(other, tuple(rates[what, other])), note=note,
        )
        for letter, what in zip("ab", kinds, strict=True)
    ]  # fmt: skip


def _load(opened: ExitStack, port: int, path: str, texts: str) -> Contestant:
    return opened.enter_context(Contestant(sys.executable, "load_http", str(port), path, MODEL, texts))


def _is_healthy(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False
