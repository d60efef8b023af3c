"""Where each child process stands between its start and ready. Pure; the ventilator keeps it, the status shows it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Any


class State(Enum):
    """Of a child process."""

    STARTING = "starting"  # launched, nothing heard yet
    CONNECTED = "connected"  # has said hello, waits for what it needs
    LOADING = "loading"  # loads the model
    READY = "ready"  # has encoded a known sentence
    LEAVING = "leaving"  # is not needed any more
    GONE = "gone"  # has ended


@dataclass(slots=True)
class Member:
    """One child as the operator sees it."""

    name: str
    device: str
    state: State = State.STARTING
    stage: str = "starting"
    pid: int | None = None
    heard_s: float = 0.0
    answered_s: float | None = None
    """When a worker has last encoded anything."""
    starts: int = 0

    def as_status(self, now_s: float) -> dict[str, Any]:
        shown = {"name": self.name, "device": self.device, "state": self.state.value, "pid": self.pid}
        shown["restarts"] = self.starts - 1
        return shown if self.answered_s is None else {**shown, "silent_s": round(now_s - self.answered_s, 1)}


class Roster:
    """All children by name."""

    def __init__(self) -> None:
        self._members: dict[str, Member] = {}

    def __getitem__(self, name: str) -> Member:
        return self._members[name]

    def __contains__(self, name: str) -> bool:
        return name in self._members

    def __iter__(self) -> Iterator[Member]:
        return iter(list(self._members.values()))

    def started(self, name: str, device: str, pid: int, stage: str) -> None:
        """A child was started, for the first time or again; `pid` is 0 while it waits for a place."""
        earlier = self._members[name].starts if name in self._members else 0
        self._members[name] = Member(name, device, stage=stage, pid=pid, starts=earlier + 1)

    def remove(self, name: str) -> None:
        """It has done all it had to do."""
        del self._members[name]

    def in_state(self, state: State) -> list[Member]:
        return [member for member in self._members.values() if member.state is state]

    @property
    def all_ready(self) -> bool:
        return all(member.state is State.READY for member in self._members.values())

    def waiting_for(self) -> str:
        """Who is not ready yet and what each is doing, for the progress line."""
        waiting = [f"{m.name} ({m.stage})" for m in self._members.values() if m.state is not State.READY]
        return ", ".join(waiting)

    def as_status(self, now_s: float) -> list[dict[str, Any]]:
        return [member.as_status(now_s) for member in self._members.values()]
