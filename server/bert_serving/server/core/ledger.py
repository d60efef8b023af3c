"""Every accepted request until its answer is out: what it was, so that its parts can be run again. Pure.

The ventilator opens a job when it accepts a request and closes it when the sink says that it was delivered.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count

from bert_serving.server.core.scheduler import PartKey, Ticket


@dataclass(frozen=True, slots=True)
class Job:
    """One accepted request. `parts` maps the position of a part's first row to its texts as JSON."""

    number: int
    identity: bytes
    request_id: bytes
    total: int
    urgent: bool
    parts: dict[int, tuple[int, bytes]]

    def tickets(self) -> Iterator[Ticket]:
        """One for each part, in order."""
        for offset, (rows, _) in self.parts.items():
            yield Ticket(PartKey(self.number, offset), rows, self.identity, self.urgent)


class Ledger:
    """The open jobs by number. Numbers are never used twice, so a late message of a closed job hits nothing."""

    def __init__(self) -> None:
        self._numbers = count(1)
        self._jobs: dict[int, Job] = {}

    def __len__(self) -> int:
        return len(self._jobs)

    def __iter__(self) -> Iterator[Job]:
        return iter(list(self._jobs.values()))

    def open(
        self, identity: bytes, request_id: bytes, total: int, urgent: bool, parts: dict[int, tuple[int, bytes]]
    ) -> Job:
        """Enter a request; `parts` is offset -> (rows, texts as JSON)."""
        job = Job(next(self._numbers), identity, request_id, total, urgent, parts)
        self._jobs[job.number] = job
        return job

    def find(self, number: int) -> Job | None:
        return self._jobs.get(number)

    def close(self, number: int) -> Job | None:
        """Take a job out; None if it is not open."""
        return self._jobs.pop(number, None)
