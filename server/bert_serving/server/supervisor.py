"""Starts the child processes, hears when one reports or ends, and stops them all. The ventilator's loop asks it.

It has no thread of its own: each child's pipe stands in the ventilator's poll, so an end is heard at once.
"""

from __future__ import annotations

import logging
import signal
import time
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from bert_serving.server.launchers.base import Launcher, Orders, Process

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ChildEnded:
    """A child has ended. `result` is what it returned; `reason` says why if it did not end in order."""

    name: str
    result: Any
    reason: str | None


class Supervisor:
    """The children by name."""

    def __init__(self, launcher: Launcher) -> None:
        self._launcher = launcher
        self._running: dict[str, Process] = {}
        self._reports: dict[str, dict[str, Any]] = {}

    @property
    def filenos(self) -> dict[int, str]:
        """What to poll, and whose it is."""
        return {process.fileno(): name for name, process in self._running.items()}

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
        """Start a child."""
        self._running[orders.name] = self._launcher.start(orders)
        self._reports[orders.name] = {}

    def pid(self, name: str) -> int:
        return self._running[name].pid

    def kill(self, name: str) -> None:
        """End a child that does not answer."""
        self._running[name].kill()

    def ended(self) -> list[ChildEnded]:
        """The children that have ended since the last call; never blocks."""
        gone = []
        for name, process in list(self._running.items()):
            status = process.exit_status()
            self._reports[name].update(process.read_report())
            if status is not None:
                process.close()
                del self._running[name]
                report = self._reports.pop(name)
                gone.append(ChildEnded(name, report.get("result"), _reason(status, report)))
        return gone

    def stop(self, told: Collection[str], timeout_s: float) -> None:
        """Wait for the children that were told to end, at most `timeout_s`; kill the others at once."""
        deadline_s = time.monotonic() + timeout_s
        for name, process in self._running.items():
            if name not in told:
                process.kill()
        for name, process in self._running.items():
            if not process.wait(max(0.0, deadline_s - time.monotonic())):
                log.warning("%s did not end within %.0f s and is killed", name, timeout_s)
                process.kill()
                process.wait(timeout_s)
            process.close()
        self._running.clear()


def _reason(status: int, report: dict[str, Any]) -> str | None:
    if "fatal" in report:
        return str(report["fatal"])
    if status == 0:
        return None
    if status == -signal.SIGKILL:
        return "it was killed by SIGKILL, which is what a machine out of memory does: check its memory limit"
    if status < 0:
        return f"it was killed by {signal.Signals(-status).name}"
    return f"it ended with exit code {status}"
