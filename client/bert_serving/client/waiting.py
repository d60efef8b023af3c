"""When to tell a person, in the log, what a client is waiting for. Pure."""

from __future__ import annotations

from math import inf

TELL_AFTER_S = 1.0


class Waiting:
    """Follows whether the client waits for a server. `tell_at_s` is when there is something to tell; once per wait."""

    def __init__(self) -> None:
        self.tell_at_s = inf
        self._is_waiting = False

    def is_to_tell(self, is_waiting: bool, now_s: float) -> bool:
        """Whether it is time to; to be called whenever something may have changed."""
        if is_waiting != self._is_waiting:
            self._is_waiting = is_waiting
            self.tell_at_s = now_s + TELL_AFTER_S if is_waiting else inf
        is_due = now_s >= self.tell_at_s
        if is_due:
            self.tell_at_s = inf
        return is_due
