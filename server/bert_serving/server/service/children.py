"""The child processes: which exist, what each still needs to become ready, which hang, and which restart when.

The supervisor passes on what children report; this owns no socket and no thread.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from bert_serving.server.config import ServerConfig
from bert_serving.server.devices import device_environment, device_name, lanes_for
from bert_serving.server.errors import StartError
from bert_serving.server.message.messages import (
    Alive,
    Census,
    Draining,
    Hello,
    Load,
    Lost,
    Message,
    NewVentilator,
    Ready,
    Stage,
    Stop,
)
from bert_serving.server.service.processes import ChildEnded, Processes
from bert_serving.server.service.restarts import Restarts
from bert_serving.server.service.roster import Member, Roster, State
from bert_serving.server.transport.lines import Lines
from bert_serving.server.transport.meeting import GATEWAY, SINK, VENTILATOR, WORKER, Meeting, name_of
from bert_serving.server.transport.orders import OptimizerNeeds, Orders, Role, WorkerNeeds

log = logging.getLogger(__name__)

OPTIMIZER = "graph optimizer"
NO_WORKERS = (SINK, VENTILATOR, OPTIMIZER, GATEWAY)
PROGRESS_INTERVAL_S, MOST_PROGRESS_INTERVAL_S = 5.0, 60.0
"""Between two lines about a start that takes long: twice as long each time."""

STOP_TIMEOUT_S = 5.0


class Children:
    """All children, to whom it speaks by `lines`."""

    def __init__(
        self,
        config: ServerConfig,
        devices: Sequence[int | None],
        processes: Processes,
        lines: Lines,
    ) -> None:
        self._config = config
        self._devices = devices
        self._processes = processes
        self._lines = lines
        self._roster = Roster()
        self._restarts = Restarts()
        self._orders: dict[str, tuple[Orders, str]] = {}
        self._looked_s = 0.0
        self._prepared: str | None = None
        self._fingerprint = ""
        self._meeting: Meeting | None = None
        self._started_s = self._last_progress_s = 0.0
        self._progress_interval_s = PROGRESS_INTERVAL_S
        self.loaded_in_s = 0.0
        """How long the start has taken so far, or took."""
        self._ventilator: Hello | None = None
        self.is_serving = self._is_changed = False

    @property
    def expects_restarts(self) -> bool:
        """Whether one that ended is due to be restarted."""
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
        return [member for member in self._roster if member.name not in NO_WORKERS]

    def send(self, name: str, message: Message) -> bool:
        """To the process that is this child now; whether it could be sent."""
        return name in self._roster and self._lines.send(self._roster[name].line, message)

    # -- start --------------------------------------------------------------------------------------------------------

    def start(self, meeting: Meeting, orders: Sequence[Orders], now_s: float) -> None:
        """Start all, which meet as `meeting` says; `orders` are those of ventilator, sink and gateway."""
        self._started_s = self._last_progress_s = now_s
        self._meeting = meeting
        environment = device_environment(None, self._config.verbose)
        for each in (*orders, Orders(Role.OPTIMIZER, OPTIMIZER, OptimizerNeeds(), environment)):
            self._start(each, "cpu")
        devices = self._devices[: self._config.num_worker]
        for number in range(len(devices)):
            self._start_worker(number)
        log.info("devices: %s", ", ".join(f"worker {n} on {device_name(gpu)}" for n, gpu in enumerate(devices)))

    def _start_worker(self, number: int) -> None:
        name, gpu = f"{WORKER}{number}", self._devices[number]
        needs = WorkerNeeds(device_name(gpu), lanes_for(gpu, self._config.most_workers))
        environment = device_environment(gpu, self._config.verbose)
        self._start(Orders(Role.WORKER, name, needs, environment), device_name(gpu))

    def _start(self, orders: Orders, device: str) -> None:
        assert self._meeting is not None
        self._orders[orders.name] = orders, device
        member = self._roster.begin(orders.name, device)
        contact = self._meeting.contact(member.line, is_remote=orders.role is Role.WORKER)
        self._processes.start(orders.at(contact))
        member.pid = self._processes.pid(orders.name)
        member.stage = self._processes.stage(orders.name)
        self._is_changed = True

    # -- more workers and fewer ---------------------------------------------------------------------------------------

    @property
    def workers(self) -> list[Member]:
        """The workers that are there or on their way, by number."""
        names = [f"{WORKER}{number}" for number in range(self._config.most_workers)]
        return [self._roster[name] for name in names if self._is_there(name)]

    def _is_there(self, name: str) -> bool:
        if name not in self._roster:
            return False
        return self._roster[name].state not in (State.LEAVING, State.GONE) or self._restarts.expects(name)

    def add_workers(self, count: int) -> None:
        """Start so many more, if so many are left that have not been given up."""
        free = [number for number in range(self._config.most_workers) if f"{WORKER}{number}" not in self._roster]
        for number in free[:count]:
            self._start_worker(number)

    def release(self, line: str) -> None:
        """Let a worker go that nothing is expected of."""
        name = name_of(line)
        if name in NO_WORKERS or name not in self._roster:
            return
        self._is_changed = True
        self._restarts.forget(name)
        member = self._roster[name]
        if member.state is State.GONE:
            self._roster.remove(name)
            return
        if member.state is not State.READY or not self.send(name, Stop()):
            self._processes.kill(name)
        member.state, member.stage = State.LEAVING, "leaving"

    # -- what children say --------------------------------------------------------------------------------------------

    def knows(self, line: str) -> bool:
        """Whether it matters what comes by this line: not from a predecessor, nor from one that was released."""
        name = name_of(line)
        return (
            name in self._roster and self._roster[name].line == line and self._roster[name].state is not State.LEAVING
        )

    def hear(self, line: str, message: Hello | Stage | Ready | Alive, now_s: float) -> None:
        """A child that is known says how far it is."""
        name = name_of(line)
        member = self._roster[name]
        member.heard_s = now_s
        if isinstance(message, Alive):
            return
        self._is_changed = True
        if isinstance(message, Stage):
            member.stage = message.text
        elif isinstance(message, Ready):
            member.state, member.device = State.READY, message.device
            self._fingerprint = message.fingerprint
            self._restarts.ready(name)
        elif name in NO_WORKERS:
            member.state, member.pid = State.READY, message.pid
            self._restarts.ready(name)
            self._introduce(name, message)
        else:
            member.state, member.stage, member.pid = State.CONNECTED, "waiting for the graph", message.pid
        self._load_where_possible()

    def _introduce(self, name: str, hello: Hello) -> None:
        """There is a new ventilator or a new sink: whoever speaks to it is told where."""
        if name == VENTILATOR:
            self._ventilator = hello
            for worker in self._workers:
                if worker.state in (State.LOADING, State.READY):
                    self._lines.send(worker.line, NewVentilator(self._address_for_workers))
        if self._ventilator is not None and name in (VENTILATOR, SINK):
            self.send(SINK, NewVentilator(self._ventilator.address))

    @property
    def _address_for_workers(self) -> str:
        assert self._ventilator is not None
        return self._ventilator.remote_address or self._ventilator.address

    def _load_where_possible(self) -> None:
        """Workers that wait can load once the graph is prepared and it is known where the ventilator is."""
        if self._prepared is None or self._ventilator is None:
            return
        for member in self._roster.in_state(State.CONNECTED):
            member.state, member.stage = State.LOADING, "loading the model"
            self._lines.send(member.line, Load(self._prepared, self._address_for_workers))

    def tell_ventilator(self) -> None:
        """How all children are, if that has changed since it was last told."""
        if self._is_changed and self._ventilator is not None:
            state = "ready" if self.is_serving else "loading"
            workers = [worker.line for worker in self.workers]
            census = Census(state, self._roster.as_status(), workers, self._fingerprint)
            self._is_changed = not self.send(VENTILATOR, census)

    def drain(self) -> None:
        """The service is about to end."""
        self.send(GATEWAY, Draining())
        self.send(VENTILATOR, Draining())

    # -- those that are lost ------------------------------------------------------------------------------------------

    def lost(self) -> list[tuple[ChildEnded, str]]:
        """The children that ended though they were needed, each with what it was doing."""
        lost = []
        for child in self._processes.ended():
            self._is_changed = True
            if child.name == OPTIMIZER and child.reason is None:
                self._prepared = self._processes.share(child.result)
                self._roster.remove(OPTIMIZER)
                self._load_where_possible()
                continue
            member = self._roster[child.name]
            self._lines.forget(member.line)
            self.send(VENTILATOR, Lost(member.line))
            if member.state is State.LEAVING:
                self._roster.remove(child.name)
                continue
            lost.append((child, member.stage))
            member.state = State.GONE
            if child.name == VENTILATOR:
                self._ventilator = None
        return lost

    def restart(self, name: str, now_s: float) -> float | None:
        """Start a child that ended again, in so many seconds; None if that failed too often in a row."""
        return self._restarts.ended(name, now_s)

    def start_due(self, now_s: float) -> None:
        """Start those whose time has come."""
        for name in self._restarts.take_due(now_s):
            log.info("restarting %s", name)
            try:
                self._start(*self._orders[name])
            except OSError as error:  # no process, descriptor or memory to be had now
                self._roster[name].state = State.GONE
                wait_s = self._restarts.put_off(name, now_s)
                log.error("%s could not be started (%s); retrying in %.1f s", name, error, wait_s)

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
                log.error("%s has been silent for %.0f s and is killed", member.name, silent_s)
                self._processes.kill(member.name)

    def is_ready(self, now_s: float) -> bool:
        """Whether all are; says at times what it waits for. Raises StartError when that takes too long."""
        self.is_serving = self._are_ready(now_s)
        self._is_changed = self._is_changed or self.is_serving
        return self.is_serving

    def _are_ready(self, now_s: float) -> bool:
        waited_s = self.loaded_in_s = now_s - self._started_s
        if self._roster.all_ready:
            return True
        if waited_s > self._config.start_timeout:
            limit = f"{self._config.start_timeout} s (-start_timeout)"
            late = f"not ready within {limit}, still waiting for {self._roster.waiting_for()}"
            if not self._is_enough:
                raise StartError(late)
            log.warning("%s: the service starts without it", late)
            return True
        if now_s - self._last_progress_s >= self._progress_interval_s:
            self._last_progress_s = now_s
            self._progress_interval_s = min(2 * self._progress_interval_s, MOST_PROGRESS_INTERVAL_S)
            log.info("still loading after %.0f s: %s", waited_s, self._roster.waiting_for())
        return False

    # -- the end ------------------------------------------------------------------------------------------------------

    def stop(self) -> None:
        """Tell all to end and wait for them; the ventilator first, which answers what is open by the sink."""
        self._stop([VENTILATOR])
        self._stop(self._processes.names)

    def _stop(self, names: Sequence[str]) -> None:
        told = [name for name in names if self.send(name, Stop())]
        self._processes.stop([name for name in names if name in self._processes.names], told, STOP_TIMEOUT_S)
