"""The accepted work of the service: open requests, who has which part, and what follows a death or a timeout. Pure.

Combines admission, ledger and scheduler behind the events that the ventilator's loop receives.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from bert_serving.client.errors import ServerBusy
from bert_serving.server.config import ServerConfig
from bert_serving.server.message.envelope import Envelope
from bert_serving.server.message.messages import Part, Rows
from bert_serving.server.message.tickets import PartKey
from bert_serving.server.ventilator.admission import Admission
from bert_serving.server.ventilator.ledger import Job, Ledger, RequestKey
from bert_serving.server.ventilator.loads import Loads
from bert_serving.server.ventilator.reading import ReadRequest
from bert_serving.server.ventilator.scheduler import Scheduler, part_rows
from bert_serving.server.ventilator.sink_suspects import SinkSuspects

URGENT_PREFETCH = 2
"""Micro-batches of urgent work that wait at a worker at most, whatever `-prefetch_size` says: with ten of them, who
asks for one text waited for the 1,280 of somebody else who asks for as many as go."""

ROWS_PER_PREFETCH = 128
"""Rows that stand for one micro-batch of `-prefetch_size`. Ten of these are enough to find rows of similar length: with
half as many padding is 10% of the tokens of a real text, with these 5%, with twice as many 3%."""


@dataclass(frozen=True, slots=True)
class Recovered:
    """After a worker's death: how many parts wait again, and the rows that are given up, for the sink."""

    parts: int
    poison: list[Rows]


class Work:
    """Requests of clients in, parts for workers out, until each request is answered."""

    def __init__(
        self,
        admission: Admission,
        *,
        num_workers: int,
        max_part_rows: int,
        priority_rows: int,
        window_rows: int,
        urgent_rows: int | None = None,
    ) -> None:
        self._admission = admission
        self._num_workers = num_workers
        self._max_part_rows = max_part_rows
        self._priority_rows = priority_rows
        self._ledger = Ledger()
        self._scheduler = Scheduler(window_rows, urgent_rows)
        self._suspects = SinkSuspects()

    @staticmethod
    def of(config: ServerConfig, num_workers: int) -> Work:
        """Bounded and cut as a resolved config says, for so many workers at most."""
        batch_rows = min(ROWS_PER_PREFETCH, config.max_batch_size)
        return Work(
            Admission(config.max_queue, config.max_queue_mb << 20, 2 * config.max_answer_mb << 20),
            num_workers=num_workers,
            max_part_rows=config.max_batch_size,
            priority_rows=config.priority_batch_size,
            window_rows=config.prefetch_size * batch_rows,
            urgent_rows=min(config.prefetch_size, URGENT_PREFETCH) * batch_rows,
        )

    def __len__(self) -> int:
        """How many requests are open."""
        return len(self._ledger)

    def __iter__(self) -> Iterator[Job]:
        return iter(self._ledger)

    @property
    def loads(self) -> Loads:
        """Who has what; to be read alone."""
        return self._scheduler.loads

    @property
    def uncomputed_rows(self) -> int:
        """Rows that wait or are in flight."""
        return self.loads.rows + sum(self.waiting_rows(urgent=urgent) for urgent in (True, False))

    @property
    def held_bytes(self) -> int:
        """Of the texts of all open requests."""
        return self._admission.size

    def waiting_rows(self, *, urgent: bool) -> int:
        """Rows of a class that no worker has yet."""
        return self._scheduler.queued_rows(urgent)

    @property
    def next_deadline_s(self) -> float:
        """When the first open request expires."""
        return self._ledger.next_deadline_s

    # -- requests -----------------------------------------------------------------------------------------------------

    def part_rows(self, total: int) -> int:
        """Into parts of how many rows a request of `total` is to be cut."""
        return part_rows(max(1, total), self._num_workers, self._max_part_rows)

    def accept(self, request: ReadRequest, number: int, now_s: float) -> bool:
        """Take a request in as the job of that number.

        False if the very same is open or its answer is kept: then nothing comes of this one. Raises ServerBusy.
        """
        total, size, answer_bytes = request.total, request.size, request.answer_bytes
        envelope = Envelope(number, total, request.identity, request.request_id, request.options.shaping())
        key = RequestKey.of(envelope, request.digest)
        if self._ledger.holds(key):
            return False
        if not self._admission.admit(total, size, answer_bytes):
            raise self._busy(request, now_s)
        job = Job(
            envelope,
            key,
            total <= self._priority_rows,
            size,
            now_s,
            request.options.deadline_s(now_s),
            dict(request.parts),
            answer_bytes=answer_bytes,
            client=request.client,
        )
        self._ledger.open(job)
        self._submit(job)
        return True

    def _busy(self, request: ReadRequest, now_s: float) -> ServerBusy:
        wait_ms = int(1000 * self._admission.wait_s(request.total, now_s))
        option = self._admission.full_for(request.total, request.size, request.answer_bytes)
        text = f"{self._admission.rows} texts are in progress, and {request.total} more would be too many"
        return ServerBusy(f"{text} ({option}): retry in {wait_ms} ms", retry_after_ms=wait_ms)

    def _submit(self, job: Job) -> None:
        for ticket in job.tickets():
            self._scheduler.submit(ticket)

    def expired(self, now_s: float) -> list[Job]:
        """Close the requests whose time is over."""
        jobs = self._ledger.expired(now_s)
        for job in jobs:
            self._close(job)
        return jobs

    def _close(self, job: Job) -> None:
        self._admission.release(job.total, job.size, job.answer_bytes)
        self._suspects.closed(job.number)
        for key in job.part_keys():
            self._scheduler.confirmed(key)

    # -- what workers and the sink say --------------------------------------------------------------------------------

    def add_worker(self, worker: str) -> None:
        """Begin to give it parts."""
        self._scheduler.add_worker(worker)

    def assign(self, now_s: float) -> Iterator[tuple[str, Part]]:
        """The parts that go to workers now."""
        if self._suspects.are_waiting:
            self._submit(self._ledger[self._suspects.next()])
        for worker, ticket in self._scheduler.assign(self._suspects.alone):
            job = self._ledger.find(ticket.key.job)
            if job is None:  # its time was over, or a worker delivered it that died before it could say so
                self._scheduler.confirmed(ticket.key)
            else:
                yield worker, job.part(ticket.key.offset, now_s)

    def accepted_s(self, number: int) -> float | None:
        """When the job of that number was accepted; None if it is not open."""
        job = self._ledger.find(number)
        return None if job is None else job.accepted_s

    def finished(self, worker: str, key: PartKey) -> None:
        """A worker has sent the rows of a part."""
        if self._ledger.find(key.job) is not None:
            self._suspects.has_rows(key.job)
        self._scheduler.finished(worker, key)

    def received(self, key: PartKey) -> None:
        """The sink has the rows of a part."""
        self._scheduler.confirmed(key)

    def delivered(self, number: int, is_kept: bool, now_s: float) -> Job | None:
        """The sink has sent the answer to a request, or keeps it for a client that does not listen.

        Returns what was open until now.
        """
        job = self._ledger.close(number, is_kept)
        if job is not None:
            self._close(job)
            self._admission.answered(job.total, now_s)
        return job

    def left(self, number: int) -> None:
        """An answer that the sink kept is there no more."""
        self._ledger.left(number)

    # -- deaths -------------------------------------------------------------------------------------------------------

    def lose_worker(self, worker: str) -> Recovered:
        """Put what it had back."""
        lost = self._scheduler.remove_worker(worker)
        if lost.to_split is not None and (job := self._ledger.find(lost.to_split.key.job)):
            for half in job.split(lost.to_split.key.offset):
                self._scheduler.submit_suspect(half)
        poison = []
        if lost.poison is not None and (job := self._ledger.find(lost.poison.key.job)):
            job.give_up(lost.poison.key.offset)
            poison = job.poison_rows()[-1:]
        return Recovered(len(lost.requeued), poison)

    def lose_sink(self) -> list[Job]:
        """Begin all that is open again; returns the requests that are given up, for the sink died of them."""
        self._scheduler.start_again()
        self._ledger.forget_kept()
        given_up = [job for number in self._suspects.sink_died() if (job := self._ledger.close(number))]
        for job in given_up:
            self._close(job)
        for job in self._ledger:
            if not self._suspects.is_held(job.number):
                self._submit(job)
        return given_up

    def poison(self) -> list[Rows]:
        """The rows of open requests that are given up, for a sink that knows nothing of it."""
        return [rows for job in self._ledger for rows in job.poison_rows()]
