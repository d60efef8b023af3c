"""The state of each child process on its way from start to ready. Pure; the status shows it."""

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
    line: str
    """What only this process of that name is known by."""
    device: str
    state: State = State.STARTING
    stage: str = "starting"
    pid: int | None = None
    heard_s: float = 0.0
    starts: int = 1

    def as_status(self) -> dict[str, Any]:
        shown = {"name": self.name, "device": self.device, "state": self.state.value, "pid": self.pid}
        return {**shown, "restarts": self.starts - 1}


class Roster:
    """All children by name."""

    def __init__(self) -> None:
        self._members: dict[str, Member] = {}
        self._serials: dict[str, int] = {}

    def __getitem__(self, name: str) -> Member:
        return self._members[name]

    def __contains__(self, name: str) -> bool:
        return name in self._members

    def __iter__(self) -> Iterator[Member]:
        return iter(list(self._members.values()))

    def begin(self, name: str, device: str) -> Member:
        """A child is about to be started, for the first time or again."""
        earlier = self._members[name].starts if name in self._members else 0
        serial = self._serials[name] = 1 + self._serials.get(name, 0)
        self._members[name] = Member(name, f"{name}.{serial}", device, starts=earlier + 1)
        return self._members[name]

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

    def as_status(self) -> list[dict[str, Any]]:
        return [member.as_status() for member in self._members.values()]
