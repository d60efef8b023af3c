"""The child processes: who is there, what each still needs on its way to ready, who is stuck, who comes back when.

The ventilator tells it what children say, and sends what it wants sent; it owns no socket and no thread.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any

from bert_serving.server.config import ServerConfig
from bert_serving.server.core.restarts import Restarts
from bert_serving.server.core.roster import Member, Roster, State
from bert_serving.server.devices import device_environment, device_name, lanes_for
from bert_serving.server.errors import StartError
from bert_serving.server.launchers.base import Orders
from bert_serving.server.supervisor import ChildEnded, Supervisor
from bert_serving.server.transport.meeting import Line, Meeting
from bert_serving.server.transport.messages import (
    Alive,
    Draining,
    Hello,
    Load,
    Message,
    NewSink,
    Part,
    Ready,
    Stage,
    Stop,
)

log = logging.getLogger(__name__)

SINK = "sink"
OPTIMIZER = "graph optimizer"
GATEWAY = "gateway"
PROGRESS_INTERVAL_S = 5.0
STOP_TIMEOUT_S = 5.0
PROBE_INTERVAL_S = 2.0
PROBE = Part(
    job=0, total=1, offset=0, count=1, urgent=True, left_ms=None, identity=b"", request_id=b"", texts=b'["hi"]'
)
"""A known sentence for each worker, whose answer is of no interest but that it comes."""


class Fleet:
    """Sink, graph optimizer and workers. `send` passes a message to a child by name and says whether it could."""

    def __init__(
        self,
        config: ServerConfig,
        devices: Sequence[int | None],
        supervisor: Supervisor,
        send: Callable[[str, Message], bool],
    ) -> None:
        self._config = config
        self._devices = devices
        self._supervisor = supervisor
        self._send = send
        self._roster = Roster()
        self._restarts = Restarts()
        self._orders: dict[str, tuple[Orders, str]] = {}
        self._looked_s = self._probed_s = 0.0
        self._prepared: str | None = None
        self._meeting: Meeting | None = None
        self._started_s = self._last_progress_s = 0.0
        self.rows: Line | None = None

    def fileno(self) -> int:
        """Readable when a child has reported or ended."""
        return self._supervisor.fileno()

    @property
    def size(self) -> int:
        """How many run."""
        return len(self._supervisor.names)

    @property
    def has_sink(self) -> bool:
        """Whether answers can be published."""
        return self.rows is not None

    @property
    def sink_pid(self) -> int | None:
        return self._roster[SINK].pid

    @property
    def expects_restarts(self) -> bool:
        """Whether one that ended is due to be started again."""
        return bool(self._restarts)

    @property
    def has_workers(self) -> bool:
        """Whether any worker is there, at work or loading, or will be."""
        return any(member.state is not State.GONE or self._restarts.expects(member.name) for member in self._workers)

    @property
    def _is_enough(self) -> bool:
        """Whether all is ready but some workers more than `-min_worker`."""
        workers = self._workers
        ready = sum(worker.state is State.READY for worker in workers)
        others = all(member.state is State.READY for member in self._roster if member not in workers)
        return others and self._config.min_worker is not None and ready >= self._config.min_worker

    @property
    def _workers(self) -> list[Member]:
        return [member for member in self._roster if member.name not in (SINK, OPTIMIZER, GATEWAY)]

    def as_status(self, now_s: float) -> list[dict[str, Any]]:
        return self._roster.as_status(now_s)

    # -- start --------------------------------------------------------------------------------------------------------

    def start(self, meeting: Meeting, now_s: float) -> None:
        """Start all; they connect to the ventilator as `meeting` says."""
        self._started_s = self._last_progress_s = now_s
        verbose, insider, remote = self._config.verbose, meeting.insider, meeting.remote
        common = {"ventilator": meeting.line.as_orders(), "socket_folder": str(meeting.folder)}
        public = insider.public.decode() if insider else None
        sink = {**common, "pad_to": self._config.pad_to, "insider": public, "remote": remote and remote.as_orders()}
        self._start(Orders("sink", SINK, "SINK", sink), "cpu")
        if self._config.http_port is not None:
            gateway = {**common, "curve": str(insider.folder) if insider else None}
            self._start(Orders("gateway", GATEWAY, "PROXY", gateway), "cpu")
        self._start(Orders("optimizer", OPTIMIZER, "GRAPHOPT", {}, device_environment(None, verbose)), "cpu")
        self._meeting = meeting
        devices = self._devices[: self._config.num_worker]
        for number in range(len(devices)):
            self._start_worker(number)
        log.info("devices: %s", ", ".join(f"worker {n} on {device_name(gpu)}" for n, gpu in enumerate(devices)))

    def _start_worker(self, number: int) -> None:
        assert self._meeting is not None
        name, gpu, remote = f"worker-{number}", self._devices[number], self._meeting.remote
        arguments = {
            "name": name,
            "device": device_name(gpu),
            "lanes": lanes_for(gpu, self._config.most_workers),
            "ventilator": (remote or self._meeting).line.as_orders(),
        }
        environment = device_environment(gpu, self._config.verbose)
        self._start(Orders("worker", name, name.upper(), arguments, environment), device_name(gpu))

    def _start(self, orders: Orders, device: str) -> None:
        self._orders[orders.name] = orders, device
        self._supervisor.start(orders)
        self._roster.started(
            orders.name, device, self._supervisor.pid(orders.name), self._supervisor.stage(orders.name)
        )

    # -- more workers and fewer ---------------------------------------------------------------------------------------

    @property
    def workers(self) -> list[str]:
        """The workers that are there or on their way, by number."""
        return [f"worker-{number}" for number in range(self._config.most_workers) if self._is_there(f"worker-{number}")]

    def _is_there(self, name: str) -> bool:
        if name not in self._roster:
            return False
        return self._roster[name].state not in (State.LEAVING, State.GONE) or self._restarts.expects(name)

    def needs(self, name: str) -> bool:
        """Whether it matters what this child says."""
        return name in self._roster and self._roster[name].state is not State.LEAVING

    def add_workers(self, count: int) -> None:
        """Start so many more, if so many are left that have not been given up."""
        free = [number for number in range(self._config.most_workers) if f"worker-{number}" not in self._roster]
        for number in free[:count]:
            self._start_worker(number)

    def release(self, name: str) -> None:
        """Let a worker go that nothing is expected of."""
        self._restarts.forget(name)
        member = self._roster[name]
        if member.state is State.GONE:
            self._roster.remove(name)
            return
        if member.state is not State.READY or not self._send(name, Stop()):
            self._supervisor.kill(name)
        member.state, member.stage = State.LEAVING, "leaving"

    # -- what children say --------------------------------------------------------------------------------------------

    def hear(self, name: str, message: Hello | Stage | Ready | Alive, now_s: float) -> None:
        """A child says how far it is."""
        member = self._roster[name]
        member.heard_s = now_s
        if isinstance(message, Stage):
            member.stage = message.text
        elif isinstance(message, Ready):
            member.state, member.device, member.answered_s = State.READY, message.device, now_s
            self._restarts.ready(name)
        elif isinstance(message, Hello) and name in (SINK, GATEWAY):
            member.state = State.READY
            self._restarts.ready(name)
            if name == SINK and message.rows is not None:
                self._introduce(Line.of(message.rows))
        elif isinstance(message, Hello):
            member.state, member.stage, member.pid = State.CONNECTED, "waiting for the graph", message.pid
        self._load_where_possible()

    def _introduce(self, rows: Line) -> None:
        """There is a new sink: those who know another one are told."""
        self.rows = rows
        for worker in self._workers:
            if worker.state in (State.LOADING, State.READY):
                self._send(worker.name, NewSink(rows.as_orders()))

    def _load_where_possible(self) -> None:
        """Workers that wait can load once the graph is prepared and it is known where the sink takes rows."""
        if self._prepared is None or self.rows is None:
            return
        for member in self._roster.in_state(State.CONNECTED):
            member.state, member.stage = State.LOADING, "loading the model"
            self._send(member.name, Load(self._prepared, self.rows.as_orders()))

    def answered(self, name: str, now_s: float) -> None:
        """A worker has encoded something."""
        self._roster[name].answered_s = now_s

    def probe(self, now_s: float) -> None:
        """Let each worker encode a known sentence now and then, so that the gateway can tell who does."""
        if self._config.http_port is None or now_s < self._probed_s + PROBE_INTERVAL_S:
            return
        self._probed_s = now_s
        for worker in self._workers:
            if worker.state is State.READY:
                self._send(worker.name, PROBE)

    def drain(self) -> None:
        """The service is about to end."""
        if self._config.http_port is not None:
            self._send(GATEWAY, Draining())

    def lost(self) -> list[tuple[ChildEnded, str]]:
        """The children that ended though they were needed, each with what it was doing."""
        lost = []
        for child in self._supervisor.ended():
            if child.name == OPTIMIZER and child.reason is None:
                self._prepared = self._supervisor.share(child.result)
                self._roster.remove(OPTIMIZER)
                self._load_where_possible()
                continue
            member = self._roster[child.name]
            if member.state is State.LEAVING:
                self._roster.remove(child.name)
                continue
            lost.append((child, member.stage))
            member.state = State.GONE
            if child.name == SINK:
                self.rows = None
        return lost

    # -- those that are lost ------------------------------------------------------------------------------------------

    def restart(self, name: str, now_s: float) -> float | None:
        """Start a child that ended again, in so many seconds; None if that failed too often in a row."""
        return self._restarts.ended(name, now_s)

    def start_due(self, now_s: float) -> None:
        """Start those whose time has come."""
        for name in self._restarts.take_due(now_s):
            log.info("%s is started again", name)
            self._start(*self._orders[name])

    def kill_stuck(self, now_s: float) -> None:
        """End the children that have said nothing for `-heartbeat_timeout`, or four times that while they load."""
        limit_s = self._config.heartbeat_timeout
        was_asleep = now_s - self._looked_s > limit_s / 2
        self._looked_s = now_s
        for member in self._roster:
            if member.state is State.GONE or not member.pid:
                continue  # it has ended, or nobody knows where to start it yet
            silent_s = now_s - (member.heard_s or now_s)
            if was_asleep or not member.heard_s:  # this process itself did not run, and has not read what they said
                member.heard_s = now_s
            elif silent_s > (limit_s if member.state is State.READY else 4 * limit_s):
                member.heard_s = now_s
                log.error("%s has said nothing for %.0f s and is killed", member.name, silent_s)
                self._supervisor.kill(member.name)

    def is_ready(self, now_s: float) -> bool:
        """Whether all are; says at times what it waits for. Raises StartError when that takes too long."""
        if self._roster.all_ready:
            log.info("loaded in %.1f s", now_s - self._started_s)
            return True
        waited_s = now_s - self._started_s
        if waited_s > self._config.start_timeout:
            limit = f"{self._config.start_timeout} s (-start_timeout)"
            late = f"not ready within {limit}, still waiting for {self._roster.waiting_for()}"
            if not self._is_enough:
                raise StartError(late)
            log.warning("%s: the service begins without", late)
            return True
        if now_s - self._last_progress_s >= PROGRESS_INTERVAL_S:
            self._last_progress_s = now_s
            log.info("still loading after %.0f s: %s", waited_s, self._roster.waiting_for())
        return False

    def stop(self) -> None:
        """Tell all to end and wait for them."""
        told = [name for name in self._supervisor.names if self._send(name, Stop())]
        self._supervisor.stop(told, STOP_TIMEOUT_S)
