"""What the service needs from a started process, wherever it runs."""

from __future__ import annotations

from typing import Any, Protocol

from bert_serving.server.transport.orders import Orders


class Process(Protocol):
    """A started child."""

    @property
    def pid(self) -> int:
        """Of the process on its machine; 0 while that is not known."""

    @property
    def stage(self) -> str:
        """What it is doing until it says so itself."""

    def fileno(self) -> int:
        """Readable when the child has reported something or ended."""

    def read_report(self) -> dict[str, Any]:
        """What came since the last call: "result" or "fatal" if the child said so; never blocks."""

    def exit_status(self) -> int | None:
        """None while it runs, else its exit code, negative for a signal."""

    def kill(self) -> None: ...

    def wait(self, timeout_s: float) -> bool:
        """True if it has ended within that time."""

    def close(self) -> None:
        """Give back what belongs to it in this process."""


class Launcher(Protocol):
    """Starts children."""

    @property
    def remote_host(self) -> str | None:
        """The address by which workers on other machines reach this one; None if there are none."""

    def start(self, orders: Orders) -> Process: ...

    def share(self, prepared: str) -> str:
        """What workers are told to load, in the place of what `prepare` returned on this machine."""

    def close(self) -> None:
        """Give back what it holds, when all children have ended."""
