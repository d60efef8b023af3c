"""Chaos: clients ask while children are killed and stopped at random; every answer is compared. For `make chaos`.

    python tests/chaos/deaths.py --requests 100000 --clients 16 --workers 3 --every 2.0

Every `--every` seconds a worker or the sink gets SIGKILL, or now and then SIGSTOP, after which only the server's own
watch over its children helps. What should come out was computed beforehand, in quiet. The exit status is 1 if one
request was lost, wrong or not answered within `--patience` seconds.
"""

from __future__ import annotations

import argparse
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

from bert_serving.client import BertClient, BertServingError

TINY = Path(__file__).parents[1] / "golden" / "tiny_bert"
DISTINCT = 400
STOPS_AMONG = 8
"""One in so many blows is a SIGSTOP."""
A_DAY_S = 86_400


def distinct_texts(rng: random.Random) -> list[str]:
    """Texts of 1 to 30 words, no two alike."""
    words = ["hello", "world", "first", "do", "it", "right", "better", "then", "the", "quick", "brown", "fox"]
    return [f"{number} " + " ".join(rng.choices(words, k=rng.randint(1, 30))) for number in range(DISTINCT)]


class Chaos:
    """One run; `load` knows what became of the requests, `blows` how many fell."""

    def __init__(self, server: Command, options: argparse.Namespace) -> None:
        self._ports: dict[str, Any] = {"port": server.port, "port_out": server.port_out}
        self._options = options
        self._rng = random.Random(options.seed)
        texts = distinct_texts(self._rng)
        with BertClient(**self._ports) as client:
            self.load = CheckedLoad(self._ports, texts, client.encode(texts), options.patience)
        self._lock = threading.Lock()
        self._left: int = options.requests
        self.blows: Counter[str] = Counter()

    def run(self) -> None:
        done = threading.Event()
        with ThreadPoolExecutor(self._options.clients + 1) as pool:
            blows = pool.submit(self._strike, done)
            clients = [pool.submit(self.load.ask, seed, self._take) for seed in range(self._options.clients)]
            for client in clients:
                client.result()
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
                    victim = self._rng.choice(client.server_status["processes"])
                    blow = signal.SIGSTOP if self._rng.randrange(STOPS_AMONG) == 0 else signal.SIGKILL
                    os.kill(victim["pid"], blow)
                    self.blows[f"{blow.name} to {victim['name'].rstrip('0123456789-')}"] += 1


def main() -> None:
    parser = argparse.ArgumentParser(description="Kill children of a server at random while clients ask.")
    parser.add_argument("--requests", type=int, default=100_000)
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--workers", type=int, default=3)
    parser.add_argument("--every", type=float, default=2.0, help="seconds between blows")
    parser.add_argument("--patience", type=float, default=180.0, help="seconds after which a request counts as lost")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--log", action="store_true", help="show the server's log")
    options = parser.parse_args()
    arguments = ["-model_dir", str(TINY), "-cpu", "-max_seq_len", "64", "-heartbeat_timeout", "5"]
    arguments += ["-num_worker", str(options.workers)]
    with Command(*arguments) as server:
        server.wait_until_ready()
        reader = threading.Thread(target=server.wait_for_end, args=(A_DAY_S,))  # a full pipe would stop it
        reader.start()
        try:
            chaos = Chaos(server, options)
            before = psutil.Process(server.pid).memory_info().rss
            begin_s = time.monotonic()
            chaos.run()
            took_s = time.monotonic() - begin_s
            grown = (psutil.Process(server.pid).memory_info().rss - before) / 2**20
        finally:
            os.kill(server.pid, signal.SIGTERM)
            reader.join()
    if options.log:
        print(server.log, file=sys.stderr)
    for outcome, number in sorted((chaos.load.counts + chaos.blows).items()):
        print(f"{number:>8}  {outcome}")
    slowest_s = chaos.load.slowest_s
    print(f"{took_s:.0f} s, slowest request {slowest_s:.1f} s, the server's own process grew by {grown:.1f} MiB")
    sys.exit(0 if chaos.load.counts["right"] == options.requests else 1)


if __name__ == "__main__":
    main()
