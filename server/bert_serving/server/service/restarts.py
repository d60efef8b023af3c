"""When a child process that ended is restarted. Pure; `children.py` asks it.

Each failure in a row doubles the wait, and after `MOST_IN_A_ROW` the child is given up; a child that became ready again
starts over. So a crash now and then costs a moment, and a machine on which nothing can start is not kept busy.
"""

from __future__ import annotations

FIRST_WAIT_S = 0.2
LONGEST_WAIT_S = 10.0
MOST_IN_A_ROW = 10


class Restarts:
    """Failures and due times by name."""

    def __init__(self) -> None:
        self._failures: dict[str, int] = {}
        self._due_s: dict[str, float] = {}

    def ended(self, name: str, now_s: float) -> float | None:
        """A child ended. Returns in how many seconds it is due again, None if it is given up."""
        failures = self._failures[name] = self._failures.get(name, 0) + 1
        if failures > MOST_IN_A_ROW:
            return None
        wait_s = min(LONGEST_WAIT_S, FIRST_WAIT_S * 2.0 ** (failures - 1))
        self._due_s[name] = now_s + wait_s
        return wait_s

    def put_off(self, name: str, now_s: float) -> float:
        """It could not even be started: this machine lacks what it takes. Returns in how many seconds it is due."""
        self._due_s[name] = now_s + LONGEST_WAIT_S / 10
        return LONGEST_WAIT_S / 10

    def ready(self, name: str) -> None:
        """A child is at work."""
        self._failures.pop(name, None)

    def forget(self, name: str) -> None:
        """A child is not needed any more."""
        self._failures.pop(name, None)
        self._due_s.pop(name, None)

    def take_due(self, now_s: float) -> list[str]:
        """Those to start now."""
        due = [name for name, due_s in self._due_s.items() if due_s <= now_s]
        for name in due:
            del self._due_s[name]
        return due

    def expects(self, name: str) -> bool:
        """Whether this one is to be started."""
        return name in self._due_s

    def __bool__(self) -> bool:
        """Whether any is to be started."""
        return bool(self._due_s)
