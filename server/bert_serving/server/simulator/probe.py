"""A real server under a load, and what it counts: the tallies of its workers, and the processor time of its threads.

Calibration and validation measure with it. Linux alone tells the time of a thread (`/proc/PID/task/TID/schedstat`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from bert_serving.client import BertClient
from bert_serving.server.benchmark.load import Closed, Open, closed_loop
from bert_serving.server.benchmark.server import OwnServer
from bert_serving.server.benchmark.targets import ZmqTarget
from bert_serving.server.benchmark.workloads import TextPool
from bert_serving.server.config import ServerConfig
from bert_serving.server.private import HERE, free_ports

START_S = 120.0
TIMEOUT_S = 120.0
_SETTLE_S = 0.3
"""The last messages of a load are still under way when its answers are there."""


@dataclass(frozen=True, slots=True)
class Counted:
    """What a server has counted so far; seconds are those of processors, but `compute_s`, which lanes waited."""

    batches: int = 0
    rows: int = 0
    tokens: int = 0
    padded_tokens: int = 0
    tokenize_s: float = 0.0
    compute_s: float = 0.0
    ventilator_s: float = 0.0
    sink_s: float = 0.0

    def since(self, earlier: Counted) -> Counted:
        """What came since then."""
        names = self.__slots__
        return Counted(**{name: getattr(self, name) - getattr(earlier, name) for name in names})


class Probe:
    """A server that runs, and its counters."""

    def __init__(self, target: ZmqTarget, config: ServerConfig) -> None:
        self.target = target
        self._config = config

    def counted(self) -> Counted:
        time.sleep(_SETTLE_S)
        with BertClient(ip=HERE, port=self._config.port, port_out=self._config.port_out, timeout=10_000) as client:
            status = client.server_status
        sink = next(process["pid"] for process in status["processes"] if process["name"] == "sink")
        workers = status["workers"]
        return Counted(
            batches=sum(worker["batches"] for worker in workers),
            rows=sum(worker["batch_rows"] for worker in workers),
            tokens=sum(worker["tokens"] for worker in workers),
            padded_tokens=sum(worker["padded_tokens"] for worker in workers),
            tokenize_s=sum(worker["tokenize_s"] for worker in workers),
            compute_s=sum(worker["compute_s"] for worker in workers),
            ventilator_s=_python_threads_s(_parent(sink)),
            sink_s=_python_threads_s(sink),
        )

    def closed(self, pool: TextPool, rows: int, clients: int, duration_s: float) -> tuple[Counted, Closed]:
        """A closed loop, and what the server counted in it."""
        return self._measured(lambda: self._closed(pool, rows, clients, duration_s))

    def _closed(self, pool: TextPool, rows: int, clients: int, duration_s: float) -> Closed:
        sessions = [self.target.session(TIMEOUT_S) for _ in range(clients)]
        try:
            return closed_loop(sessions, pool, rows, duration_s)
        finally:
            for session in sessions:
                session.close()

    def _measured(self, load: Callable[[], Closed]) -> tuple[Counted, Closed]:
        before = self.counted()
        done = load()
        if done.errors:
            raise RuntimeError(f"{len(done.errors)} requests failed, the first one: {done.errors[0]}")
        return self.counted().since(before), done


@contextmanager
def started(config: ServerConfig, log: Path) -> Iterator[Probe]:
    """A server of our own on free ports of this machine alone; it is gone after the block."""
    port, port_out = free_ports(2)
    given = config.given | {"port", "port_out", "host"}
    config = replace(config, host=HERE, port=port, port_out=port_out, given=given)
    with OwnServer(config, log, START_S) as target:
        yield Probe(target, config)


def latencies_s(done: Closed | Open) -> list[float]:
    """From asking, or from the scheduled arrival, to the answer."""
    if isinstance(done, Closed):
        return [sample.ended_s - sample.began_s for sample in done.samples]
    pairs = zip(done.scheduled_s, done.answers, strict=True)
    return [(done.ended_s if answer is None else answer.ended_s) - when_s for when_s, answer in pairs]


def _parent(pid: int) -> int:
    after_name = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(after_name[1])


def _python_threads_s(pid: int) -> float:
    """Processor time of all threads but those of ZeroMQ, which work for the network."""
    spent_ns = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        if not (task / "comm").read_text().startswith("ZMQbg"):
            spent_ns += int((task / "schedstat").read_text().split()[0])
    return spent_ns / 1e9
