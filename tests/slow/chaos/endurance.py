"""What only shows over a long time: each scenario runs a server of its own, prints its figures and judges them.

    python tests/slow/chaos/endurance.py                     all of them, some 20 minutes
    python tests/slow/chaos/endurance.py soak --number 50000

For `make chaos`, beside `deaths.py`. The exit status is 1 if any scenario found what should not be.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import random
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import Any

import gateway_support
import hostile
import hostile_zmtp
import httpx
import numpy as np
import psutil
import zmq
from command import Command, FakeCommand, Started
from fake_engine import vector_of
from folders import TINY
from ports import free_ports

from bert_serving.client import BertClient, RequestTimeout
from bert_serving.client.wire import encode_request

MIB = 2**20
HOSTILE_PER_S = 1000.0
HTTP_THREADS = 20
PROBES = 1000
CALM_S = 1.5
"""Until an attack has begun, or what is on its way has come."""


class Running:
    """A server of several processes, and what they take."""

    def __init__(self, pid: int, port: int, port_out: int) -> None:
        self.pid = pid
        self.ports: dict[str, Any] = {"port": port, "port_out": port_out}
        self._processes = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]

    def rss_mib(self) -> list[float]:
        """Resident memory of each process."""
        return [round(process.memory_info().rss / MIB, 1) for process in self._processes]


@contextmanager
def running(started: Started) -> Iterator[Running]:
    """The server, once it is ready."""
    with started as server, server.wait_until_ready().reading():
        yield Running(server.pid, server.port, server.port_out)


def fake_server(**options: Any) -> AbstractContextManager[Running]:
    """With an engine that computes nothing."""
    return running(FakeCommand(**options))


def tiny_server() -> AbstractContextManager[Running]:
    """With a BERT of two small layers."""
    return running(Command("-model_dir", str(TINY), "-cpu", "-max_seq_len", "64"))


def p95_ms(seconds: list[float]) -> float:
    return float(np.percentile(seconds, 95)) * 1000


def encode_once(client: BertClient) -> float:
    """In seconds, of the fake engine."""
    begin_s = time.perf_counter()
    assert np.array_equal(client.encode(["a"]), [vector_of("a")])
    return time.perf_counter() - begin_s


# -- scenarios: each returns its figures and whether they are good ----------------------------------------------------


def soak(number: int) -> tuple[str, bool]:
    """`number` texts through a small BERT from four clients: memory stays where it was after as many before."""
    batch, clients = 250, 4
    rng = random.Random(3)
    words = [f"word{number}" for number in range(500)]
    texts = [" ".join(rng.choices(words, k=rng.randint(1, 12))) for _ in range(2000)]
    with tiny_server() as server, ThreadPoolExecutor(clients) as pool:
        opened = [BertClient(check_length=False, **server.ports) for _ in range(clients)]
        right = opened[0].encode(texts)

        def encode(client: BertClient, share: int, seed: int) -> None:
            chooser = random.Random(seed)
            for _ in range(share // batch):
                chosen = [chooser.randrange(len(texts)) for _ in range(batch)]
                vectors = client.encode([texts[index] for index in chosen])
                assert np.allclose(vectors, right[chosen], rtol=0, atol=1e-5)

        rss = []
        for share in (number, number):
            shares = [pool.submit(encode, client, share // clients, seed) for seed, client in enumerate(opened)]
            for running in shares:
                running.result()
            rss.append(server.rss_mib())
        for client in opened:
            client.close()
    worst = max(after / before for before, after in zip(*rss, strict=True))
    return f"{number} texts: MiB {rss[0]}, then {rss[1]} after as many again, worst ratio {worst:.3f}", worst < 1.02


def connects(number: int) -> tuple[str, bool]:
    """Connect, encode, close: memory and time stay flat."""
    with fake_server() as server:
        took_s, rss = [], []
        for turn in range(number):
            begin_s = time.perf_counter()
            with BertClient(**server.ports) as client:
                encode_once(client)
            took_s.append(time.perf_counter() - begin_s)
            if turn in (number // 10, number - 1):
                rss.append(server.rss_mib())
    first, last = p95_ms(took_s[: number // 10]), p95_ms(took_s[-number // 10 :])
    growth = max(after - before for before, after in zip(*rss, strict=True))
    figures = f"{number} clients: MiB {rss[0]} after a tenth, {rss[1]} at the end; p95 {first:.1f} ms, then {last:.1f}"
    return figures, growth < 5 and last < 2 * first


def fresh(number: int) -> tuple[str, bool]:
    """Clients that ask at once, without a handshake, and leave: no answer is lost."""
    with fake_server() as server:
        for turn in range(number):
            with BertClient(ignore_all_checks=True, timeout=60_000, **server.ports) as client:
                assert np.array_equal(client.encode([f"text {turn}"]), [vector_of(f"text {turn}")])
    return f"{number} clients without a handshake, each answered right", True


def timeouts(number: int) -> tuple[str, bool]:
    """Calls that run out of time: memory stays, and the server is free at once afterwards."""
    with fake_server(max_batch_size=1) as server, BertClient(**server.ports) as client:
        before, late = server.rss_mib(), 0
        for turn in range(number):
            client.timeout = 20
            try:
                client.encode([f"!slow 0.05 {turn} {row}" for row in range(100)])
            except RequestTimeout:
                late += 1
        after = server.rss_mib()
        client.timeout = 5_000
        free_s = encode_once(client)
        rows = sum(worker["batch_rows"] for worker in client.server_status["workers"])
    figures = (
        f"{number} calls, {late} out of time; {rows} of {100 * number} rows computed; MiB {before}, then {after}; "
    )
    return figures + f"the next call took {free_s * 1000:.0f} ms", late == number and rows < 10 * number


def cycles(number: int) -> tuple[str, bool]:
    """Start, encode, stop: always exit status 0, and no process stays."""
    ports = free_ports(2)
    before = len(os.listdir("/tmp"))
    for turn in range(number):
        with FakeCommand(ports) as server:
            server.wait_until_ready()
            children = psutil.Process(server.pid).children(recursive=True)
            with BertClient(**server.ports) as client:
                assert np.array_equal(client.encode([f"{turn}"]), [vector_of(f"{turn}")])
            server.stop(random.choice([signal.SIGTERM, signal.SIGINT]))
            status = server.wait_for_end(60)
        assert status == 0, f"exit status {status} in cycle {turn}"
        assert not any(child.is_running() for child in children)
    return f"{number} cycles, all ended with 0; {len(os.listdir('/tmp')) - before} new entries in /tmp", True


def greedy(number: int) -> tuple[str, bool]:
    """Twenty clients send and never read: what the server holds is bounded, and another is served meanwhile."""
    texts = [f"text {row}" for row in range(256)]
    most_mib = 0.0
    with fake_server(max_queue=100_000, pooling_strategy="NONE", max_seq_len=40) as server:
        before = sum(server.rss_mib())
        with zmq.Context() as context, BertClient(timeout=60_000, **server.ports) as good:
            sockets = []
            for number_of_client in range(20):
                identity = b"greedy-%d" % number_of_client
                push, sub = context.socket(zmq.PUSH), context.socket(zmq.SUB)
                push.linger = sub.linger = 0
                sub.rcvhwm = 1
                sub.subscribe(identity)
                sub.connect(f"tcp://127.0.0.1:{server.ports['port_out']}")
                push.connect(f"tcp://127.0.0.1:{server.ports['port']}")
                sockets.append((identity, push, sub))
            slowest_s = 0.0
            for turn in range(number // 20):
                for identity, push, _ in sockets:
                    with suppress(zmq.Again):
                        push.send_multipart(encode_request(identity, turn, texts), zmq.NOBLOCK)
                begin_s = time.perf_counter()
                assert np.array_equal(good.encode(["a"])[0, 0], vector_of("a"))
                slowest_s = max(slowest_s, time.perf_counter() - begin_s)
                most_mib = max(most_mib, sum(server.rss_mib()) - before)
            for _, push, sub in sockets:
                push.close()
                sub.close()
    asked_mib = number * len(texts) * 40 * 8 * 4 / MIB
    figures = f"{number} requests of 20 clients that do not read, answers of {asked_mib:.0f} MiB: at most "
    return figures + f"{most_mib:.0f} MiB more; the slowest call of another {slowest_s * 1000:.0f} ms", most_mib < 2048


def strangers(number: int) -> tuple[str, bool]:
    """Hostile frames as fast as they go: memory. And at a pace that leaves room here: p95 of a good client."""
    return _beside(hostile.attack, number)


def raw_strangers(number: int) -> tuple[str, bool]:
    """The same by raw ZMTP: half handshakes, endless messages, thousands of subscriptions, PINGs, odd commands."""
    return _beside(hostile_zmtp.attack, number)


Onslaught = Callable[[list[int], int, int, float], None]
"""Takes the ports, how many frames, a seed and how many a second."""


def _beside(onslaught: Onslaught, number: int) -> tuple[str, bool]:
    rounds = 5
    flood_s: list[float] = []
    paced_s: list[float] = []
    quiet_s: list[float] = []
    rss = []
    with fake_server() as server, BertClient(**server.ports) as good:
        for turn in range(rounds):
            with attack(onslaught, server, number // rounds, turn) as attacker:
                while attacker.is_alive():
                    flood_s.append(encode_once(good))
            if turn in (0, rounds - 1):
                rss.append(server.rss_mib())
        for turn in range(rounds):
            time.sleep(CALM_S)
            for _ in range(PROBES):
                quiet_s.append(encode_once(good))
            with attack(onslaught, server, sys.maxsize, turn, HOSTILE_PER_S) as attacker:
                time.sleep(CALM_S)
                for _ in range(PROBES):
                    paced_s.append(encode_once(good))
                attacker.kill()
    growth = max(after - before for before, after in zip(*rss, strict=True))
    quiet, paced = p95_ms(quiet_s), p95_ms(paced_s)
    figures = f"{number} hostile frames: MiB {rss[0]} after a fifth, {rss[1]} at the end; p95 of a good client "
    figures += (
        f"{quiet:.2f} ms in quiet, {paced:.2f} beside {HOSTILE_PER_S:.0f} hostile frames/s, {p95_ms(flood_s):.2f} "
    )
    return figures + "beside as many as go", growth < 20 and paced < 2 * quiet


@contextmanager
def attack(onslaught: Onslaught, server: Running, number: int, seed: int, per_second: float = 1e9) -> Iterator[Any]:
    """Hostile frames from a process of its own, which ends by itself or is killed."""
    order = (list(server.ports.values()), number, seed, per_second)
    attacker = multiprocessing.get_context("spawn").Process(target=onslaught, args=order)
    attacker.start()
    try:
        yield attacker
    finally:
        attacker.join(60)
        assert attacker.exitcode in (0, -signal.SIGKILL)


def http(number: int) -> tuple[str, bool]:
    """Bad HTTP requests, then 500 good ones at once: no fault of the server, no growth, all of them answered."""
    (port,) = free_ports(1)
    where = f"http://127.0.0.1:{port}"
    statuses: Counter[int] = Counter()
    limits = httpx.Limits(max_connections=500)
    with (
        fake_server(http_port=port, http_host="127.0.0.1") as server,
        httpx.Client(base_url=where, timeout=60, limits=limits) as browser,
    ):
        gateway_support.wait_until_ready(browser)

        def bad(seed: int) -> None:
            rng = random.Random(seed)
            for _ in range(number // HTTP_THREADS):
                path, body = hostile.http_request(rng)
                statuses[browser.post(path, content=body).status_code] += 1

        def good(seed: int) -> int:
            return browser.post("/encode", json={"texts": [f"text {seed}"]}).status_code

        rss = []
        with ThreadPoolExecutor(HTTP_THREADS) as pool:
            for _ in range(2):
                list(pool.map(bad, range(HTTP_THREADS)))
                rss.append(server.rss_mib())
        with ThreadPoolExecutor(500) as pool:
            answered = Counter(pool.map(good, range(500)))
    growth = max(after - before for before, after in zip(*rss, strict=True))
    figures = f"2 x {number} bad requests {dict(statuses)}: MiB {rss[0]}, then {rss[1]}; 500 at once {dict(answered)}"
    return figures, answered == {200: 500} and growth < 20 and not any(status >= 500 for status in statuses)


SCENARIOS: dict[str, tuple[Callable[[int], tuple[str, bool]], int]] = {
    "soak": (soak, 1_000_000),
    "connects": (connects, 10_000),
    "fresh": (fresh, 1_000),
    "timeouts": (timeouts, 1_000),
    "cycles": (cycles, 100),
    "greedy": (greedy, 4_000),
    "strangers": (strangers, 1_000_000),
    "raw_strangers": (raw_strangers, 1_000_000),
    "http": (http, 10_000),
}


def main() -> None:
    parser = argparse.ArgumentParser(description="What only shows over a long time.")
    parser.add_argument("scenarios", nargs="*", choices=[*SCENARIOS, []], help="all, if none is named")
    parser.add_argument("--number", type=int, help="of texts, clients, calls, cycles or frames")
    options = parser.parse_args()
    is_good = True
    for name in options.scenarios or SCENARIOS:
        scenario, usual = SCENARIOS[name]
        begin_s = time.monotonic()
        figures, good = scenario(options.number or usual)
        print(f"{'good' if good else 'BAD '}  {name}: {figures} ({time.monotonic() - begin_s:.0f} s)", flush=True)
        is_good = is_good and good
    sys.exit(0 if is_good else 1)


if __name__ == "__main__":
    main()
