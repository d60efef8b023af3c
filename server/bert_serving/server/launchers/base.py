"""What the service needs of a started process, wherever it runs."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Protocol


@dataclass(frozen=True, slots=True)
class Orders:
    """What to start: a role of `child.py`, the name it is known by, and what it needs.

    It inherits the files whose descriptors are under "descriptors" of its arguments, by the same numbers.
    """

    role: str
    name: str
    log_role: str
    arguments: dict[str, Any]
    environment: dict[str, str] = field(default_factory=dict)

    def with_arguments(self, **arguments: Any) -> Orders:
        """The same with more arguments."""
        return replace(self, arguments={**self.arguments, **arguments})


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
