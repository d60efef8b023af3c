"""The workers and the sink as the ventilator knows them: by the lines by which they have said hello. Pure.

A process has a line of its own, so what a predecessor said last is never taken for its successor's word.
"""

from __future__ import annotations

from typing import Any

from bert_serving.server.message.messages import Census, Done
from bert_serving.server.transport.meeting import SINK, name_of


class Peers:
    """Who is there now, and what the supervisor has said of all children."""

    def __init__(self) -> None:
        self.sink: str | None = None
        self.rows_address = ""
        self.census = Census("loading", [], [], "")
        self._workers: dict[str, str] = {}  # lines by name
        self._answered_s: dict[str, float] = {}
        self._tallies: dict[str, Done] = {}

    @property
    def workers(self) -> list[str]:
        """The lines of the workers that have said hello."""
        return list(self._workers.values())

    def __contains__(self, line: str) -> bool:
        """Whether it matters what comes by this line."""
        return line == self.sink or self._workers.get(name_of(line)) == line

    def predecessor(self, line: str) -> str | None:
        """Whose place the process with this line takes, if that is there still."""
        known = self.sink if name_of(line) == SINK else self._workers.get(name_of(line))
        return known if known != line else None

    def add_sink(self, line: str, rows_address: str) -> None:
        """The sink has said hello."""
        self.sink, self.rows_address = line, rows_address

    def add_worker(self, line: str, now_s: float) -> None:
        """A worker has said hello: it has encoded a first sentence."""
        self._workers[name_of(line)] = line
        self._answered_s[name_of(line)] = now_s

    def remove(self, line: str) -> None:
        """One of them is gone."""
        if line == self.sink:
            self.sink, self.rows_address = None, ""
        elif self._workers.get(name_of(line)) == line:
            del self._workers[name_of(line)]

    def done(self, line: str, message: Done, now_s: float) -> None:
        """A worker has encoded something."""
        self._tallies[name_of(line)] = message
        self._answered_s[name_of(line)] = now_s

    def processes(self, now_s: float) -> list[dict[str, Any]]:
        """All children, as the status shows them."""
        return [self._with_silence(process, now_s) for process in self.census.processes]

    def _with_silence(self, process: dict[str, Any], now_s: float) -> dict[str, Any]:
        answered_s = self._answered_s.get(process["name"])
        if answered_s is None or process["state"] != "ready":
            return process
        return {**process, "silent_s": round(now_s - answered_s, 1)}

    def tallies(self) -> list[tuple[str, Done]]:
        """What each worker has said last of all that it computed, by name."""
        return sorted(self._tallies.items())
