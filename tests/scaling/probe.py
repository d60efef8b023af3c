"""A real server under a load, and what it counts: the tallies of its workers, and the time of a core of each thread.

Calibration and validation measure with it. Linux alone tells the time of a thread (`/proc/PID/task/TID/schedstat`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from bert_serving.client import BertClient
from bert_serving.server.benchmark.load import Closed, Open, closed_loop, open_loop
from bert_serving.server.benchmark.server import OwnServer
from bert_serving.server.benchmark.targets import ZmqTarget
from bert_serving.server.benchmark.workloads import TextPool
from bert_serving.server.config import ServerConfig
from bert_serving.server.service.throwaway import HERE, free_ports

START_S = 120.0
TIMEOUT_S = 120.0
Loop = TypeVar("Loop", Closed, Open)
_SETTLE_S = 0.3
"""The last messages of a load are still under way when its answers are there."""


@dataclass(frozen=True, slots=True)
class Counted:
    """What a server has counted so far; seconds are those of a core.

    `aside_s` is what the threads of ZeroMQ took, and in what a `Probe` returns of a load, the client.
    """

    batches: int = 0
    rows: int = 0
    tokens: int = 0
    lanes_s: float = 0.0
    in_out_s: float = 0.0
    ventilator_s: float = 0.0
    sink_s: float = 0.0
    aside_s: float = 0.0

    def since(self, earlier: Counted) -> Counted:
        """What came since then."""
        names = self.__slots__
        return Counted(**{name: getattr(self, name) - getattr(earlier, name) for name in names})

    @staticmethod
    def sum(some: Iterable[Counted]) -> Counted:
        """All of them together."""
        counted = list(some)
        return Counted(**{name: sum(getattr(each, name) for each in counted) for name in Counted.__slots__})


class Probe:
    """A server that runs, and its counters."""

    def __init__(self, target: ZmqTarget, config: ServerConfig) -> None:
        self.target = target
        self._config = config

    def counted(self) -> Counted:
        time.sleep(_SETTLE_S)
        with BertClient(ip=HERE, port=self._config.port, port_out=self._config.port_out, timeout=10_000) as client:
            status = client.server_status
        pids = {process["name"]: process["pid"] for process in status["processes"]}
        ventilator, sink = _Threads.of(_parent(pids["sink"])), _Threads.of(pids["sink"])
        in_workers = [_Threads.of(pid) for name, pid in pids.items() if name.startswith("worker-")]
        workers = status["workers"]
        if len(in_workers) != self._config.num_worker:
            raise RuntimeError(f"the server has {len(in_workers)} workers instead of {self._config.num_worker}")
        return Counted(
            batches=sum(worker["batches"] for worker in workers),
            rows=sum(worker["batch_rows"] for worker in workers),
            tokens=sum(worker["tokens"] for worker in workers),
            lanes_s=sum(threads.others_s for threads in in_workers),
            in_out_s=sum(threads.main_s for threads in in_workers),
            ventilator_s=ventilator.main_s + ventilator.others_s,
            sink_s=sink.main_s + sink.others_s,
            aside_s=sum(threads.zmq_s for threads in (ventilator, sink, *in_workers)),
        )

    def closed(self, pool: TextPool, rows: int, clients: int, duration_s: float) -> tuple[Counted, Closed]:
        """A closed loop, and what the server counted in it. RuntimeError if a request failed."""

        def load() -> Closed:
            sessions = [self.target.session(TIMEOUT_S) for _ in range(clients)]
            try:
                return closed_loop(sessions, pool, rows, duration_s)
            finally:
                for session in sessions:
                    session.close()

        return self._measured(load)

    def paced(self, pool: TextPool, interval_s: float, duration_s: float) -> tuple[Counted, Open]:
        """One text every `interval_s`, and what the server counted. RuntimeError if a request failed."""
        schedule = [number * interval_s for number in range(int(duration_s / interval_s))]
        return self._measured(lambda: open_loop(self.target.session(TIMEOUT_S), pool, schedule, duration_s))

    def _measured(self, load: Callable[[], Loop]) -> tuple[Counted, Loop]:
        before = self.counted()
        before_s = time.process_time()
        done = load()
        client_s = time.process_time() - before_s
        if done.errors:
            raise RuntimeError(f"{len(done.errors)} requests failed, the first one: {done.errors[0]}")
        counted = self.counted().since(before)
        return replace(counted, aside_s=counted.aside_s + client_s), done


@contextmanager
def started(config: ServerConfig, num_worker: int, log: Path) -> Iterator[Probe]:
    """A server of our own on free ports of this machine alone; it is gone after the block."""
    port, port_out = free_ports(2)
    given = config.given | {"port", "port_out", "host", "num_worker"}
    config = replace(config, host=HERE, port=port, port_out=port_out, num_worker=num_worker, given=given)
    with OwnServer(config, log, START_S) as target:
        yield Probe(target, config)


def _parent(pid: int) -> int:
    after_name = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(after_name[1])


@dataclass(slots=True)
class _Threads:
    """What the threads of a process have taken: the first one, ZeroMQ's, which work for the network, and all others.

    Of a worker the first one does all I/O; a lane computes in a thread of its own.
    """

    main_s: float = 0.0
    zmq_s: float = 0.0
    others_s: float = 0.0

    @classmethod
    def of(cls, pid: int) -> _Threads:
        found = cls()
        for task in Path(f"/proc/{pid}/task").iterdir():
            spent_s = int((task / "schedstat").read_text().split()[0]) / 1e9
            if task.name == str(pid):
                found.main_s += spent_s
            elif (task / "comm").read_text().startswith("ZMQbg"):
                found.zmq_s += spent_s
            else:
                found.others_s += spent_s
        return found
