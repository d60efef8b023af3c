"""Chaos on a Ray cluster: clients ask while machines go and actors die; every answer is compared. For `make chaos`.

    python tests/slow/chaos/ray_deaths.py --seconds 60
    python tests/slow/chaos/ray_deaths.py --seconds 120 --every 15 --model tests/golden/tiny_bert

The head and two more machines, which are raylets on this one here, have a worker each. Every `--every` seconds, in
turn, one of the two machines is removed and another one added, or a worker gets SIGKILL, or the one on the head does.
The exit status is 1 if one request was lost, wrong or not answered within `--patience` seconds.
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
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from checked_load import CheckedLoad
from command import FakeCommand
from fake_engine import vector_of
from ray_machines import Machines, add_machine, ray_machines

from bert_serving.client import BertClient

WORKERS = 3
KINDS = 3
"""Of deaths; each comes at least once."""
VICTIM_S = 30.0
DISTINCT = 2_000
SLOW_S = 0.002
"""What a text takes in the fake engine, so that deaths strike work under way."""


def checked_load(ports: dict[str, Any], options: argparse.Namespace) -> CheckedLoad:
    """What clients ask of the model, or of the fake engine."""
    if options.model:
        texts = [f"text {number} of many" for number in range(DISTINCT)]
        with BertClient(**ports) as client:
            vectors = client.encode(texts)
    else:
        texts = [f"!slow {SLOW_S} {number}" for number in range(DISTINCT)]
        vectors = np.stack([vector_of(text) for text in texts])
    return CheckedLoad(ports, texts, vectors, options.patience)


class Deaths:
    """Blows, one every so often; `counts` says which fell."""

    def __init__(self, machines: Machines, ports: dict[str, Any], seed: int) -> None:
        self._machines = machines
        self._ports = ports
        self._rng = random.Random(seed)
        self._blows = cycle([self._remove_machine, self._kill_worker, self._kill_worker_of_head])
        self.counts: Counter[str] = Counter()

    def strike(self) -> None:
        """One blow."""
        self.counts[next(self._blows)()] += 1

    def _remove_machine(self) -> str:
        self._machines.remove_node(self._rng.choice(list(self._machines.worker_nodes)), allow_graceful=False)
        add_machine(self._machines)
        return "machine removed"

    def _kill_worker(self) -> str:
        return self._kill(self._pids, "worker killed")

    def _kill_worker_of_head(self) -> str:
        (raylet,) = self._machines.head_node.all_processes["raylet"]
        head = psutil.Process(raylet.process.pid)
        return self._kill(lambda: {child.pid for child in head.children()} & self._pids(), "worker of the head killed")

    def _kill(self, pids: Callable[[], set[int]], what: str) -> str:
        """Kill one of these; a worker that was just struck is waited for."""
        end_s = time.monotonic() + VICTIM_S
        while time.monotonic() < end_s:
            with suppress(ProcessLookupError):
                if found := pids():
                    os.kill(self._rng.choice(sorted(found)), signal.SIGKILL)
                    return what
            time.sleep(0.2)
        return "nobody was there to be killed"

    def _pids(self) -> set[int]:
        with BertClient(timeout=60_000, **self._ports) as client:
            shown = client.server_status["processes"]
        return {process["pid"] for process in shown if process["name"].startswith("worker-") and process["pid"]}


@contextmanager
def served(machines: Machines, options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """A server with a worker on each machine; its ports."""
    values = {"launcher": "ray", "ray_address": machines.address, "host": "127.0.0.1", "num_worker": WORKERS}
    if options.model:
        values |= {"engine": "bert_serving.server.engine.tensorflow_engine", "model_dir": options.model}
    with FakeCommand(**values) as server, server.wait_until_ready().reading():
        yield server.ports
    if options.log:
        Path(options.log).write_text(server.log)


def main() -> None:
    parser = argparse.ArgumentParser(description="Let machines and actors of a Ray cluster die while clients ask.")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--every", type=float, default=3.0, help="seconds between blows")
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--model", help="a model's folder, in the place of the fake engine")
    parser.add_argument("--patience", type=float, default=120.0, help="seconds after which a request counts as lost")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--log", help="a file for the server's log")
    options = parser.parse_args()
    with ray_machines(head_cpus=1, others=WORKERS - 1) as machines, served(machines, options) as ports:
        load, deaths = checked_load(ports, options), Deaths(machines, ports, options.seed)
        done = threading.Event()
        with ThreadPoolExecutor(options.clients) as pool:
            clients = [pool.submit(load.ask, seed, lambda: not done.is_set()) for seed in range(options.clients)]
            end_s = time.monotonic() + options.seconds
            while time.monotonic() < end_s or deaths.counts.total() < KINDS:
                time.sleep(options.every)
                deaths.strike()
            done.set()
            for client in clients:
                client.result()
    for what, number in (deaths.counts + load.counts).items():
        print(f"{number:>8}  {what}")
    lost = sum(number for what, number in load.counts.items() if what.startswith("lost"))
    print(
        f"{load.counts.total()} requests, {deaths.counts.total()} deaths, {lost} lost, {load.counts['wrong']} wrong; "
        f"slowest request {load.slowest_s:.1f} s"
    )
    sys.exit(0 if load.counts["right"] == load.counts.total() else 1)


if __name__ == "__main__":
    main()
