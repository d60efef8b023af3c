"""Every accepted request until its answer is sent, with its texts, so that its parts can be run again. Pure.

A job is opened when a request is accepted, and closed when the sink says that it was delivered or its time is over.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from heapq import heappop, heappush
from math import inf
from typing import NamedTuple

from bert_serving.client.options import left_ms
from bert_serving.client.wire import encode_options
from bert_serving.server.message.envelope import Envelope
from bert_serving.server.message.messages import Part, Rows
from bert_serving.server.message.tickets import PartKey, Ticket


class RequestKey(NamedTuple):
    """Distinguishes requests: `digest` represents its texts, `shaping` has the options that change the answer."""

    identity: bytes
    request_id: bytes
    digest: bytes
    shaping: bytes

    @staticmethod
    def of(envelope: Envelope, digest: bytes) -> RequestKey:
        return RequestKey(envelope.identity, envelope.request_id, digest, encode_options(envelope.options))


@dataclass(slots=True)  # not frozen, which would take four times as long for every request
class Job:
    """One accepted request, whose texts have `size` bytes.

    `parts` maps the position of a part's first row to its rows and its texts as JSON.
    """

    envelope: Envelope
    key: RequestKey
    urgent: bool
    size: int
    accepted_s: float
    deadline_s: float
    parts: dict[int, tuple[int, bytes]]
    poison: list[int] = field(default_factory=list)
    """Rows that are given up."""
    answer_bytes: int = 0
    """What its answer takes at most, as it was counted when it was accepted."""
    client: bytes = b""
    """Whose turns its parts take; empty for its identity's."""

    @property
    def number(self) -> int:
        return self.envelope.job

    @property
    def total(self) -> int:
        """Its rows."""
        return self.envelope.total

    def part_keys(self) -> list[PartKey]:
        """One for each part, in order."""
        number = self.envelope.job
        return [PartKey(number, offset) for offset in self.parts]

    def tickets(self) -> Iterator[Ticket]:
        """One for each part, in order."""
        return map(self._ticket, self.parts)

    def _ticket(self, offset: int) -> Ticket:
        return Ticket(
            PartKey(self.number, offset), self.parts[offset][0], self.client or self.key.identity, self.urgent
        )

    def part(self, offset: int, now_s: float) -> Part:
        """For a worker."""
        rows, texts = self.parts[offset]
        return Part(self.envelope, offset, rows, self.urgent, left_ms(self.deadline_s, now_s), texts)

    def give_up(self, row: int) -> None:
        """Take out a row that is a part by itself."""
        del self.parts[row]
        self.poison.append(row)

    def poison_rows(self) -> list[Rows]:
        """What the sink is told about the rows that are given up."""
        failed = [(0, "every worker that started on it ended")]
        return [Rows(self.envelope, row, 1, num_tokens=bytes(4), failures=failed) for row in self.poison]

    def split(self, offset: int) -> tuple[Ticket, Ticket]:
        """Make two parts of the one at `offset`, which has more than one row."""
        rows, content = self.parts[offset]
        texts, half = json.loads(content), rows // 2
        self.parts[offset] = (half, json.dumps(texts[:half]).encode())
        self.parts[offset + half] = (rows - half, json.dumps(texts[half:]).encode())
        return self._ticket(offset), self._ticket(offset + half)


class Ledger:
    """The open jobs by number. No number is ever used twice, so a late message of a closed job hits nothing."""

    def __init__(self) -> None:
        self._jobs: dict[int, Job] = {}
        self._keys: set[RequestKey] = set()  # of what is open or kept
        self._kept: dict[int, RequestKey] = {}
        self._deadlines: list[tuple[float, int]] = []  # a heap; what is closed goes when it comes to the front

    def __len__(self) -> int:
        return len(self._jobs)

    def __iter__(self) -> Iterator[Job]:
        return iter(list(self._jobs.values()))

    def holds(self, key: RequestKey) -> bool:
        """Whether this very request is open, or its answer kept: a client that lost its connection asks again."""
        return key in self._keys

    def open(self, job: Job) -> None:
        self._jobs[job.number] = job
        self._keys.add(job.key)
        if job.deadline_s < inf:
            heappush(self._deadlines, (job.deadline_s, job.number))

    def __getitem__(self, number: int) -> Job:
        return self._jobs[number]

    def find(self, number: int) -> Job | None:
        return self._jobs.get(number)

    def close(self, number: int, is_kept: bool = False) -> Job | None:
        """Take a job out; None if it is not open. `is_kept`: the sink has its answer until it says that it `left`."""
        job = self._jobs.pop(number, None)
        if job is not None and is_kept:
            self._kept[number] = job.key
        elif job is not None:
            self._keys.discard(job.key)
        return job

    def left(self, number: int) -> None:
        """An answer is kept no more."""
        key = self._kept.pop(number, None)
        if key is not None:
            self._keys.discard(key)

    def forget_kept(self) -> None:
        """The sink ended, and with it all that it kept."""
        for number in list(self._kept):
            self.left(number)

    @property
    def next_deadline_s(self) -> float:
        """Of the open jobs."""
        while self._deadlines and self._deadlines[0][1] not in self._jobs:
            heappop(self._deadlines)
        return self._deadlines[0][0] if self._deadlines else inf

    def expired(self, now_s: float) -> list[Job]:
        """Take out the jobs whose deadline has passed."""
        jobs = []
        while self.next_deadline_s <= now_s:
            job = self.close(heappop(self._deadlines)[1])
            if job is not None:
                jobs.append(job)
        return jobs
