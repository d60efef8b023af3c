"""Every accepted request until its answer is out: what it was, so that its parts can be run again. Pure.

The ventilator opens a job when it accepts a request and closes it when the sink says that it was delivered.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count

from bert_serving.server.core.scheduler import PartKey, Ticket


@dataclass(frozen=True, slots=True)
class Job:
    """One accepted request of `size` bytes.

    `parts` maps the position of a part's first row to its rows and its texts as JSON.
    """

    number: int
    identity: bytes
    request_id: bytes
    total: int
    urgent: bool
    digest: bytes
    size: int
    parts: dict[int, tuple[int, bytes]]
    poison: list[int] = field(default_factory=list)
    """Rows that are given up."""

    def tickets(self) -> Iterator[Ticket]:
        """One for each part, in order."""
        return map(self.ticket, self.parts)

    def ticket(self, offset: int) -> Ticket:
        """That of the part at `offset`."""
        return Ticket(PartKey(self.number, offset), self.parts[offset][0], self.identity, self.urgent)

    def give_up(self, row: int) -> None:
        """Take out a row that stands alone as a part."""
        del self.parts[row]
        self.poison.append(row)

    def split(self, offset: int) -> tuple[Ticket, Ticket]:
        """Make two parts of the one at `offset`, which has more than one row."""
        rows, content = self.parts[offset]
        texts, half = json.loads(content), rows // 2
        self.parts[offset] = (half, json.dumps(texts[:half]).encode())
        self.parts[offset + half] = (rows - half, json.dumps(texts[half:]).encode())
        return self.ticket(offset), self.ticket(offset + half)


class Ledger:
    """The open jobs by number. Numbers are never used twice, so a late message of a closed job hits nothing."""

    def __init__(self) -> None:
        self._numbers = count(1)
        self._jobs: dict[int, Job] = {}
        self._by_request: dict[tuple[bytes, bytes, bytes], int] = {}

    def __len__(self) -> int:
        return len(self._jobs)

    def __iter__(self) -> Iterator[Job]:
        return iter(list(self._jobs.values()))

    def holds(self, identity: bytes, request_id: bytes, digest: bytes) -> bool:
        """Whether this very request is open: a client that lost its connection asks again."""
        return (identity, request_id, digest) in self._by_request

    def open(
        self,
        identity: bytes,
        request_id: bytes,
        total: int,
        urgent: bool,
        digest: bytes,
        parts: dict[int, tuple[int, bytes]],
    ) -> Job:
        """Enter a request; `digest` tells its texts from others, `parts` is offset -> (rows, texts as JSON)."""
        size = sum(len(texts) for _, texts in parts.values())
        job = Job(next(self._numbers), identity, request_id, total, urgent, digest, size, parts)
        self._jobs[job.number] = job
        self._by_request[identity, request_id, digest] = job.number
        return job

    def find(self, number: int) -> Job | None:
        return self._jobs.get(number)

    def close(self, number: int) -> Job | None:
        """Take a job out; None if it is not open."""
        job = self._jobs.pop(number, None)
        if job is not None:
            self._by_request.pop((job.identity, job.request_id, job.digest), None)
        return job
