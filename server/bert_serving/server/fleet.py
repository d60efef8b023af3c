"""The child processes on their way to ready: who is there, what each still needs, and how the wait is going.

The ventilator tells it what children say, and sends what it wants sent; it owns no socket and no thread.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from bert_serving.server.config import PoolingStrategy, ServerConfig
from bert_serving.server.core.roster import Roster, State
from bert_serving.server.devices import device_environment, device_name, lanes_for
from bert_serving.server.errors import StartError
from bert_serving.server.launchers.base import Orders
from bert_serving.server.supervisor import ChildEnded, Supervisor
from bert_serving.server.transport.messages import Hello, Load, Message, Ready, Stage, Stop

log = logging.getLogger(__name__)

SINK = "sink"
OPTIMIZER = "graph optimizer"
PROGRESS_INTERVAL_S = 5.0
STOP_TIMEOUT_S = 5.0


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
        self._prepared: str | None = None
        self._started_s = self._last_progress_s = 0.0
        self.rows_address = ""

    @property
    def filenos(self) -> Sequence[int]:
        """Readable when a child has reported or ended."""
        return list(self._supervisor.filenos)

    @property
    def size(self) -> int:
        """How many run."""
        return len(self._supervisor.names)

    @property
    def has_sink(self) -> bool:
        """Whether answers can be published."""
        return bool(self.rows_address)

    def as_status(self) -> list[dict[str, Any]]:
        return self._roster.as_status()

    # -- start --------------------------------------------------------------------------------------------------------

    def start(self, address: str, folder: Path, now_s: float) -> None:
        """Start all; they connect to the ventilator at `address`."""
        self._started_s = self._last_progress_s = now_s
        verbose = self._config.verbose
        common = {"ventilator_address": address, "socket_folder": str(folder)}
        self._start(Orders("sink", SINK, "SINK", {**common, "pad_to": _pad_to(self._config)}), "cpu")
        self._start(Orders("optimizer", OPTIMIZER, "GRAPHOPT", {}, device_environment(None, verbose)), "cpu")
        for number, gpu in enumerate(self._devices):
            name = f"worker-{number}"
            lanes = lanes_for(gpu, self._config.num_worker)
            arguments = {**common, "name": name, "device": device_name(gpu), "lanes": lanes}
            environment = device_environment(gpu, verbose)
            self._start(Orders("worker", name, name.upper(), arguments, environment), device_name(gpu))
        log.info("devices: %s", ", ".join(f"worker {n} on {device_name(gpu)}" for n, gpu in enumerate(self._devices)))

    def _start(self, orders: Orders, device: str) -> None:
        self._roster.add(orders.name, device)
        self._supervisor.start(orders)
        self._roster[orders.name].pid = self._supervisor.pid(orders.name)

    # -- what children say --------------------------------------------------------------------------------------------

    def hear(self, name: str, message: Hello | Stage | Ready) -> None:
        """A child says how far it is."""
        member = self._roster[name]
        if isinstance(message, Stage):
            member.stage = message.text
        elif isinstance(message, Ready):
            member.state, member.device = State.READY, message.device
        elif name == SINK:
            member.state, self.rows_address = State.READY, message.rows_address
        else:
            member.state, member.stage = State.CONNECTED, "waiting for the graph"
        self._load_where_possible()

    def _load_where_possible(self) -> None:
        """Workers that wait can load once the graph is prepared and the sink's address is known."""
        if self._prepared is None or not self.has_sink:
            return
        for member in self._roster.in_state(State.CONNECTED):
            member.state, member.stage = State.LOADING, "loading the model"
            self._send(member.name, Load(self._prepared, self.rows_address))

    def lost(self) -> list[tuple[ChildEnded, str]]:
        """The children that ended though they were needed, each with what it was doing."""
        lost = []
        for child in self._supervisor.ended():
            if child.name == OPTIMIZER and child.reason is None:
                self._prepared = child.result
                self._roster.remove(OPTIMIZER)
                self._load_where_possible()
                continue
            member = self._roster[child.name]
            lost.append((child, member.stage))
            member.state = State.GONE
        return lost

    def is_ready(self, now_s: float) -> bool:
        """Whether all are; says at times what it waits for. Raises StartError when that takes too long."""
        if self._roster.all_ready:
            log.info("loaded in %.1f s", now_s - self._started_s)
            return True
        waited_s = now_s - self._started_s
        if waited_s > self._config.start_timeout:
            limit = f"{self._config.start_timeout} s (-start_timeout)"
            raise StartError(f"not ready within {limit}, still waiting for {self._roster.waiting_for()}")
        if now_s - self._last_progress_s >= PROGRESS_INTERVAL_S:
            self._last_progress_s = now_s
            log.info("still loading after %.0f s: %s", waited_s, self._roster.waiting_for())
        return False

    def stop(self) -> None:
        """Tell all to end and wait for them."""
        told = [name for name in self._supervisor.names if self._send(name, Stop())]
        self._supervisor.stop(told, STOP_TIMEOUT_S)


def _pad_to(config: ServerConfig) -> int | None:
    """The T of `[B, T, D]` replies; None for the longest row of each request."""
    if config.pooling_strategy is not PoolingStrategy.NONE:
        return None
    return config.max_positions if config.fixed_embed_length else config.max_seq_len
