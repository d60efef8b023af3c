"""Chaos: clients ask while children are killed and stopped at random; every answer is compared. For `make chaos`.

    python tests/slow/chaos/deaths.py --requests 100000 --clients 12 --legacy 4 --workers 3 --every 2.0

Every `--every` seconds the ventilator, the sink, a worker or the gateway gets SIGKILL, or now and then SIGSTOP, after
which only the server's own watch over its children helps. What should come out was computed beforehand, in quiet.
Among the clients are ours, the published ones of 1.10, which never ask again, and users of HTTP.

The exit status is 1 if an answer was wrong, if a request of ours was lost or not answered within `--patience` seconds,
or if clients of 1.10 waited in vain more often than ventilators and sinks died under them: with each death goes what
was in its sockets or on the network, for each of these clients one request at most.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import sys
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
from checked_load import CheckedLoad
from command import Command
from environments import LEGACY_CLIENT, python_of
from folders import TINY
from http_load import HttpLoad
from legacy_load import LegacyLoad

from bert_serving.client import BertClient, BertServingError

DISTINCT = 400
STOPS_AMONG = 8
"""One in so many blows is a SIGSTOP."""
VICTIMS = ("ventilator", "sink", "worker", "gateway")
"""Kinds of children; each gets as many blows as another, whatever their number. One that is not there is left out."""
MAY_LOSE = ("ventilator", "sink")
NO_ANSWER = "no answer in time"
A_DAY_S = 86_400


def distinct_texts(rng: random.Random) -> list[str]:
    """Texts of 1 to 30 words, no two alike."""
    words = ["hello", "world", "first", "do", "it", "right", "better", "then", "the", "quick", "brown", "fox"]
    return [f"{number} " + " ".join(rng.choices(words, k=rng.randint(1, 30))) for number in range(DISTINCT)]


def kind_of(name: str) -> str:
    """ "worker" of "worker-2"."""
    return name.rstrip("0123456789-")


class Chaos:
    """One run; the loads know what became of the requests, `blows` how many fell."""

    def __init__(self, server: Command, options: argparse.Namespace, legacy_python: str) -> None:
        self._ports: dict[str, Any] = {"port": server.port, "port_out": server.port_out}
        self._options = options
        self._rng = random.Random(options.seed)
        texts = distinct_texts(self._rng)
        with BertClient(**self._ports) as client:
            vectors = client.encode(texts)
        self.load = CheckedLoad(self._ports, texts, vectors, options.patience)
        self.over_http = HttpLoad(server.http_port, texts, vectors, options.patience)
        self.legacy: LegacyLoad | None = None
        share = options.requests * options.legacy // (options.clients + options.legacy + options.http)
        if options.legacy:
            about = {"clients": options.legacy, "requests": share, "timeout_s": options.legacy_patience, "seed": 100}
            self.legacy = LegacyLoad(legacy_python, self._ports, texts, vectors, **about)
        self._lock = threading.Lock()
        self._left: int = options.requests - share
        self.blows: Counter[str] = Counter()

    def run(self) -> None:
        done = threading.Event()
        asking = [self.load.ask] * self._options.clients + [self.over_http.ask] * self._options.http
        with ThreadPoolExecutor(len(asking) + 1) as pool:
            blows = pool.submit(self._strike, done)
            try:
                clients = [pool.submit(ask, seed, self._take) for seed, ask in enumerate(asking)]
                for client in clients:
                    client.result()
                if self.legacy is not None:
                    self.legacy.wait(A_DAY_S)
            finally:
                done.set()
            blows.result()

    def _take(self) -> bool:
        with self._lock:
            self._left -= 1
            return self._left >= 0

    def _strike(self, done: threading.Event) -> None:
        with BertClient(connect_timeout=60_000, timeout=60_000, **self._ports) as client:
            while not done.wait(self._options.every):
                with suppress(BertServingError, OSError):  # the sink may be away; the next blow falls all the same
                    self._strike_one(client.server_status["processes"])

    def _strike_one(self, processes: list[dict[str, Any]]) -> None:
        there = {kind: [process for process in processes if kind_of(process["name"]) == kind] for kind in VICTIMS}
        kind = self._rng.choice([kind for kind, found in there.items() if found])
        blow = signal.SIGSTOP if self._rng.randrange(STOPS_AMONG) == 0 else signal.SIGKILL
        os.kill(self._rng.choice(there[kind])["pid"], blow)
        self.blows[f"{blow.name} to {kind}"] += 1

    @property
    def may_lose(self) -> int:
        """How many requests of 1.10's clients may have been on the network when a process died."""
        deaths = sum(number for blow, number in self.blows.items() if blow.endswith(MAY_LOSE))
        return deaths * int(self._options.legacy)

    def summary(self) -> dict[str, Counter[str]]:
        legacy = Counter() if self.legacy is None else self.legacy.counts
        return {"ours": self.load.counts, "1.10": legacy, "HTTP": self.over_http.counts, "blows": self.blows}

    @property
    def is_good(self) -> bool:
        ours, legacy, over_http, _ = self.summary().values()
        wrong = ours["wrong"] + legacy["wrong"] + over_http["wrong"]
        return ours["right"] == ours.total() and not wrong and legacy[NO_ANSWER] <= self.may_lose


def show(chaos: Chaos, took_s: float, grown_mib: float, where: Path | None) -> None:
    """The table, and JSON in a file."""
    for who, counts in chaos.summary().items():
        for outcome, number in sorted(counts.items()):
            print(f"{number:>8}  {who:6} {outcome}")
    slowest_s = {"ours": chaos.load.slowest_s, "1.10": chaos.legacy.slowest_s if chaos.legacy else 0.0}
    print(
        f"{took_s:.0f} s, {chaos.blows.total()} blows; slowest request of ours {slowest_s['ours']:.1f} s, of 1.10's "
        f"{slowest_s['1.10']:.1f} s; {chaos.summary()['1.10'][NO_ANSWER]} of 1.10's waited in vain, where at most "
        f"{chaos.may_lose} may have been lost on the network; the main process grew by {grown_mib:.1f} MiB"
    )
    if where is not None:
        figures = {"took_s": took_s, "slowest_s": slowest_s, "grown_mib": grown_mib, "may_lose": chaos.may_lose}
        where.write_text(json.dumps({**chaos.summary(), **figures, "is_good": chaos.is_good}, indent=1))


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Kill children of a server at random while clients ask.")
    parser.add_argument("--requests", type=int, default=100_000, help="of all clients together")
    parser.add_argument("--clients", type=int, default=12, help="of ours")
    parser.add_argument("--legacy", type=int, default=4, help="of 1.10, installed from PyPI unless there are none")
    parser.add_argument("--http", type=int, default=2, help="users of HTTP")
    parser.add_argument("--workers", type=int, default=3)
    parser.add_argument("--every", type=float, default=2.0, help="seconds between blows")
    parser.add_argument("--patience", type=float, default=180.0, help="seconds after which a request counts as lost")
    parser.add_argument("--legacy-patience", type=float, default=60.0, help="the same of a client of 1.10")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path, help="a file for the figures")
    parser.add_argument("--log", action="store_true", help="show the server's log")
    return parser.parse_args()


def main() -> None:
    options = parsed()
    arguments = ["-model_dir", str(TINY), "-cpu", "-max_seq_len", "64", "-heartbeat_timeout", "5", "-http_port", "1"]
    arguments += ["-num_worker", str(options.workers), "-host", "127.0.0.1"]
    with Command(*arguments) as server:
        legacy_python = str(python_of(LEGACY_CLIENT)) if options.legacy else ""
        server.wait_until_ready()
        with server.reading():
            chaos = Chaos(server, options, legacy_python)
            before = psutil.Process(server.pid).memory_info().rss
            begin_s = time.monotonic()
            chaos.run()
            took_s = time.monotonic() - begin_s
            grown_mib = (psutil.Process(server.pid).memory_info().rss - before) / 2**20
    if options.log:
        print(server.log, file=sys.stderr)
    show(chaos, took_s, grown_mib, options.json)
    sys.exit(0 if chaos.is_good else 1)


if __name__ == "__main__":
    main()
