"""Starts the child processes, notices when one reports or ends, and stops them all. The supervisor's loop asks it.

It has no thread of its own: the supervisor polls one descriptor for all children, so it notices an end at once, and a
turn of the loop takes no longer with more children.
"""

from __future__ import annotations

import logging
import selectors
import signal
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from bert_serving.server.launchers.base import Launcher, Process
from bert_serving.server.transport.orders import Orders

log = logging.getLogger(__name__)

LOOK_INTERVAL_S = 1.0
"""Each child is asked so often whether it has ended: somebody else may hold the pipe that tells."""


@dataclass(frozen=True, slots=True)
class ChildEnded:
    """A child has ended. `result` is what it returned; `reason` says why if it did not end in order."""

    name: str
    result: Any
    reason: str | None


class Processes:
    """The children by name."""

    def __init__(self, launcher: Launcher) -> None:
        self._launcher = launcher
        self._running: dict[str, Process] = {}
        self._reports: dict[str, dict[str, Any]] = {}
        self._pipes = selectors.EpollSelector()
        self._looked_s = 0.0

    def fileno(self) -> int:
        """Readable when a child has reported or ended."""
        return self._pipes.fileno()

    @property
    def names(self) -> list[str]:
        """Who is running."""
        return list(self._running)

    @property
    def remote_host(self) -> str | None:
        """See `Launcher.remote_host`."""
        return self._launcher.remote_host

    def share(self, prepared: str) -> str:
        """See `Launcher.share`."""
        return self._launcher.share(prepared)

    def stage(self, name: str) -> str:
        """What a child does until it says so itself."""
        return self._running[name].stage

    def start(self, orders: Orders) -> None:
        """Start a child. OSError if this machine has no process, descriptor or memory for it now."""
        process = self._running[orders.name] = self._launcher.start(orders)
        self._pipes.register(process.fileno(), selectors.EVENT_READ, orders.name)
        self._reports[orders.name] = {}

    def pid(self, name: str) -> int:
        return self._running[name].pid

    def kill(self, name: str) -> None:
        """End a child that does not answer."""
        self._running[name].kill()

    def ended(self) -> list[ChildEnded]:
        """The children that have ended since the last call; never blocks."""
        names = [key.data for key, _ in self._pipes.select(0)]
        if time.monotonic() > self._looked_s + LOOK_INTERVAL_S:
            self._looked_s = time.monotonic()
            names = self.names
        return [child for name in names if (child := self._look_at(name)) is not None]

    def _look_at(self, name: str) -> ChildEnded | None:
        process = self._running[name]
        status = process.exit_status()
        self._reports[name].update(process.read_report())
        if status is None:
            return None
        self._pipes.unregister(process.fileno())
        process.close()
        del self._running[name]
        report = self._reports.pop(name)
        return ChildEnded(name, report.get("result"), _reason(status, report))

    def stop(self, names: Sequence[str], told: Collection[str], timeout_s: float) -> None:
        """Wait for children, of which some were told to end, at most `timeout_s`; kill the others at once."""
        deadline_s = time.monotonic() + timeout_s
        for name in names:
            if name not in told:
                self._running[name].kill()
        for name in names:
            process = self._running.pop(name)
            if not process.wait(max(0.0, deadline_s - time.monotonic())):
                log.warning("%s did not end within %.0f s and is killed", name, timeout_s)
                process.kill()
                process.wait(timeout_s)
            self._pipes.unregister(process.fileno())
            process.close()

    def close(self) -> None:
        """When all have ended."""
        self._pipes.close()


def _reason(status: int, report: dict[str, Any]) -> str | None:
    if "fatal" in report:
        return str(report["fatal"])
    if status == 0:
        return None
    if status == -signal.SIGKILL:
        return "it was killed by SIGKILL, probably because memory ran out: check the memory limit"
    if status < 0:
        return f"it was killed by {signal.Signals(-status).name}"
    return f"it ended with exit code {status}"
