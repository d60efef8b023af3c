"""The supervisor: starts all other processes of the service, watches, restarts and stops them.

The loop of the server's own process. It holds the listening sockets but accepts no connections: it talks only to its
children, so nothing from outside can end it. `children.py` keeps track of them. A child may die at any moment,
and is restarted.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import zmq

from bert_serving.server.config import ServerConfig
from bert_serving.server.errors import ServiceError, StartError
from bert_serving.server.message.messages import (
    Alive,
    Drained,
    Hello,
    Message,
    Ready,
    Resize,
    Stage,
    StopAsked,
)
from bert_serving.server.service.addresses import addresses
from bert_serving.server.service.children import OPTIMIZER, Children
from bert_serving.server.service.processes import Processes
from bert_serving.server.transport import sockets
from bert_serving.server.transport.curve import Insider
from bert_serving.server.transport.descriptors import check_limit, shortage
from bert_serving.server.transport.guard import Guard
from bert_serving.server.transport.lines import Lines
from bert_serving.server.transport.listeners import Listeners, open_listeners
from bert_serving.server.transport.meeting import GATEWAY, SINK, VENTILATOR, Meeting
from bert_serving.server.transport.orders import GatewayNeeds, Orders, Role, SinkNeeds, VentilatorNeeds
from bert_serving.server.transport.run_keys import RunKeys
from bert_serving.server.ventilator.open_log import make_files
from bert_serving.server.ventilator.status import Description

log = logging.getLogger(__name__)

POLL_MS = 1_000
HURRIED_POLL_MS = 50
"""While something is about to happen that no socket tells of: a restart, or the end of a drain."""


class Supervisor:
    """The loop. `run` returns when the service was told to stop, and raises BertServerError when it cannot go on."""

    def __init__(
        self,
        config: ServerConfig,
        devices: Sequence[int | None],
        description: Description,
        processes: Processes,
        wakeup: sockets.Wakeup,
        on_ready: Callable[[], None],
        on_stopping: Callable[[], None],
    ) -> None:
        self._config = config
        self._description = description
        self._processes = processes
        self._devices = devices
        self._wakeup = wakeup
        self._on_ready = on_ready
        self._on_stopping = on_stopping
        self._is_drained = False
        self._guard = Guard(log)
        self._stop_reason: str | None = None
        self._stop_at_once = False
        self._drain_until_s: float | None = None

    def stop(self, reason: str, *, at_once: bool = False) -> None:
        """Ask the loop to end when what is accepted is answered, or at once; from any thread or signal handler."""
        self._stop_reason = self._stop_reason or reason
        self._stop_at_once = self._stop_at_once or at_once
        self._wakeup.notify()

    def run(self) -> None:
        check_limit(self._config.most_workers)
        if (too_few := shortage(self._config.max_clients)) is not None:
            log.warning("%s", too_few)
        with ExitStack() as opened:
            listeners = opened.enter_context(open_listeners(self._config))
            log_files = opened.enter_context(make_files())
            context: zmq.Context[Any] = zmq.Context()
            opened.callback(context.destroy, linger=0)
            meeting = self._meet(context, opened.enter_context(sockets.socket_folder()))
            self._children = Children(self._config, self._devices, self._processes, self._lines)
            poller = zmq.Poller()
            for source in (*self._lines.sockets, self._wakeup.fileno(), self._processes.fileno()):
                poller.register(source, zmq.POLLIN)
            opened.callback(self._children.stop)
            self._children.start(meeting, self._orders(meeting, listeners, log_files), time.monotonic())
            while not self._is_over(time.monotonic()):
                self._wait(poller)
                for step in (self._hear, self._watch, self._children.tell_ventilator):
                    self._guard(step)

    def _meet(self, context: zmq.Context[Any], folder: Path) -> Meeting:
        """Open the lines that children connect to: for those on this machine, and for workers elsewhere if any."""
        insider = None
        if self._config.curve_dir is not None and self._config.http_port is not None:
            insider = Insider.make(self._config.curve_dir, folder)
        keys, remote_host = RunKeys.make(), self._processes.remote_host
        lines = self._lines = Lines(context, folder, "supervisor", keys, remote_host)
        return Meeting(lines.address, lines.remote_address, remote_host, folder, keys, insider)

    def _orders(self, meeting: Meeting, listeners: Listeners, log_files: tuple[int, int]) -> list[Orders]:
        """For the children that inherit sockets or files."""
        insider, remote_host = meeting.insider, meeting.remote_host
        public = insider.public if insider else None
        description = self._description.as_orders()
        needs = VentilatorNeeds(listeners.requests.fileno(), log_files, description, public, remote_host)
        orders = [
            Orders(Role.VENTILATOR, VENTILATOR, needs),
            Orders(Role.SINK, SINK, SinkNeeds(listeners.results.fileno(), public, remote_host)),
        ]
        if listeners.http is not None:
            curve = str(insider.folder) if insider else None
            orders.append(Orders(Role.GATEWAY, GATEWAY, GatewayNeeds(listeners.http.fileno(), curve)))
        return orders

    def _is_over(self, now_s: float) -> bool:
        """Whether to end now, as asked, with all answered or the time for it gone."""
        if self._stop_reason is None:
            return False
        if self._drain_until_s is None:
            self._drain_until_s = now_s + self._config.drain_timeout
            log.info("stopping: %s", self._stop_reason)
            self._on_stopping()
            self._children.drain()
        is_drained = self._is_drained or not self._children.is_serving or now_s >= self._drain_until_s
        return is_drained or self._stop_at_once

    def _wait(self, poller: zmq.Poller) -> None:
        is_hurried = self._stop_reason is not None or self._children.expects_restarts
        fired = poller.poll(HURRIED_POLL_MS if is_hurried else POLL_MS)
        if any(source == self._wakeup.fileno() for source, _ in fired):
            self._wakeup.clear()

    # -- what children say --------------------------------------------------------------------------------------------

    def _hear(self) -> None:
        for line, message in self._lines.receive():
            if self._children.knows(line):  # else it is the last word of one that was released, or has a successor
                self._guard(self._on_message, line, message, time.monotonic())

    def _on_message(self, line: str, message: Message, now_s: float) -> None:
        if isinstance(message, (Hello, Stage, Ready, Alive)):
            self._children.hear(line, message, now_s)
            if isinstance(message, Hello) and self._drain_until_s is not None:
                self._children.drain()
        elif isinstance(message, StopAsked):
            self.stop(message.reason)
        elif isinstance(message, Drained):
            self._is_drained = True
        elif isinstance(message, Resize):
            self._children.add_workers(message.add)
            if message.release:
                self._children.release(message.release)

    # -- watch --------------------------------------------------------------------------------------------------------

    def _watch(self) -> None:
        now_s = time.monotonic()
        for child, stage in self._children.lost():
            reason = child.reason or "it ended without giving a reason"
            if self._children.is_serving:
                self._on_child_lost(child.name, reason, now_s)
            else:
                raise StartError(reason if child.name == OPTIMIZER else f"{child.name} failed while {stage}: {reason}")
        if self._children.is_serving:
            self._children.kill_stuck(now_s)
            self._children.start_due(now_s)
        elif self._children.is_ready(now_s):
            self._children.tell_ventilator()
            log.info("all set, ready to serve request!")
            log.info("ready in %.1f s: %s", self._children.loaded_in_s, addresses(self._config))
            self._on_ready()

    def _on_child_lost(self, name: str, reason: str, now_s: float) -> None:
        wait_s = self._children.restart(name, now_s)
        if wait_s is not None:
            log.error("%s ended: %s; restarting in %.1f s", name, reason, wait_s)
        elif name in (SINK, VENTILATOR, GATEWAY) or not self._children.has_workers:
            raise ServiceError(f"{name} ended too many times in a row: {reason}")
        else:
            log.error("%s ended too many times in a row and is given up: %s", name, reason)
