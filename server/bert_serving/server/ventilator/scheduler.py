"""Which part goes to which worker, and when. Pure; the ventilator asks it.

A worker holds at most `window_rows` of bulk work, enough for its batcher to find rows of similar length. Beside them it
holds urgent work, so that urgent parts never wait behind bulk ones; but no more than `urgent_rows`, for what one more
client asks waits behind those. Within a class, clients take turns.

A part counts as safe only when the sink has confirmed its rows: a worker may die after it sent them and before they
arrived. What a dead worker had goes back to the queue. A part that was there at `SUSPECT_DEATHS` deaths is a suspect
and runs alone from then on: one more death halves it, and a single row that dies alone `POISON_DEATHS` times is poison.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

from bert_serving.server.message.tickets import FairQueue, PartKey, Ticket
from bert_serving.server.ventilator.loads import Loads

SUSPECT_DEATHS = 2
POISON_DEATHS = 3
"""Alone, and by itself: one or two may be somebody else's doing, such as an operator's kill."""

SMALLEST_PART = 32
"""Rows: a smaller part costs more in messages than it gains."""

PARTS_A_WORKER = 4
"""Into so many parts a request is cut for each worker, so that all end at about the same time."""


def part_rows(total: int, workers: int, max_rows: int) -> int:
    """How many rows the parts of a request of `total` rows should have."""
    even = -(-total // (workers * PARTS_A_WORKER))
    return min(max_rows, max(SMALLEST_PART, even))


@dataclass(frozen=True, slots=True)
class Lost:
    """What a worker had when it died. All but poison is in the queues again, or is to be split first."""

    requeued: tuple[Ticket, ...] = ()
    to_split: Ticket | None = None
    poison: Ticket | None = None


class Scheduler:
    """Queues of tickets in, pairs of worker and ticket out."""

    def __init__(self, window_rows: int, urgent_rows: int | None = None) -> None:
        self._windows = window_rows, urgent_rows
        self._forget()

    def _forget(self) -> None:
        self._queues = {True: FairQueue(), False: FairQueue()}
        self._suspects: deque[Ticket] = deque()
        self._emptied: str | None = None  # the worker that gets nothing but suspects
        self._deaths: dict[PartKey, int] = {}
        self._loads = Loads(*self._windows)

    @property
    def workers(self) -> list[str]:
        return list(self._loads)

    @property
    def loads(self) -> Loads:
        """Who has what; to be read alone."""
        return self._loads

    def queued_rows(self, urgent: bool) -> int:
        """Rows of a class that no worker has yet."""
        return self._queues[urgent].rows + sum(ticket.rows for ticket in self._suspects if ticket.urgent is urgent)

    def add_worker(self, worker: str) -> None:
        """Begin to give work to `worker`."""
        self._loads.add(worker)

    def remove_worker(self, worker: str) -> Lost:
        """Forget a worker that died; what it had goes back to the front of the queues."""
        load = self._loads.remove(worker)
        if worker == self._emptied:
            self._emptied = None
        if load.alone:
            (suspect,) = load.tickets.values()
            return self._condemn(suspect, tuple(load.unconfirmed.values()))
        for key in load.tickets:
            self._deaths[key] = self._deaths.get(key, 0) + 1
        lost = (*load.tickets.values(), *load.unconfirmed.values())
        for ticket in reversed(lost):
            if self._deaths.get(ticket.key, 0) >= SUSPECT_DEATHS:
                self._suspects.appendleft(ticket)
            else:
                self._queues[ticket.urgent].push_back(ticket)
        return Lost(lost)

    def _condemn(self, suspect: Ticket, others: tuple[Ticket, ...]) -> Lost:
        for ticket in reversed(others):
            self._queues[ticket.urgent].push_back(ticket)
        deaths = self._deaths.pop(suspect.key, SUSPECT_DEATHS) + 1
        if suspect.rows > 1:
            return Lost(others, to_split=suspect)
        if deaths >= SUSPECT_DEATHS + POISON_DEATHS:
            return Lost(others, poison=suspect)
        self._deaths[suspect.key] = deaths
        self._suspects.appendleft(suspect)
        return Lost((suspect, *others))

    def submit(self, ticket: Ticket) -> None:
        self._queues[ticket.urgent].push(ticket)

    def submit_suspect(self, ticket: Ticket) -> None:
        """A piece of a part that was split."""
        self._deaths[ticket.key] = SUSPECT_DEATHS
        self._suspects.append(ticket)

    def finished(self, worker: str, key: PartKey) -> None:
        """`worker` has sent the rows of a part; one that it never had changes nothing."""
        self._loads.finished(worker, key)

    def confirmed(self, key: PartKey) -> None:
        """The rows of a part are safe, or nobody needs them any more."""
        self._deaths.pop(key, None)
        self._loads.confirmed(key)

    def start_again(self) -> None:
        """Forget all work; the workers stay."""
        workers = self.workers
        self._forget()
        for worker in workers:
            self.add_worker(worker)

    def assign(self, only_job: int | None = None) -> Iterator[tuple[str, Ticket]]:
        """Hand out all that has room now, urgent parts first; where a job is to run alone, only its parts."""
        yield from self._assign_suspect()
        for urgent in (True, False):
            queue = self._queues[urgent]
            while ticket := queue.peek(only_job):
                worker = self._loads.with_room(ticket, self._reserved)
                if worker is None:
                    break
                queue.remove(ticket)
                self._loads.give(worker, ticket)
                yield worker, ticket

    @property
    def _reserved(self) -> tuple[str, ...]:
        """The worker that is to be empty for the next suspect."""
        return (self._emptied,) if self._emptied is not None and self._suspects else ()

    def _assign_suspect(self) -> Iterator[tuple[str, Ticket]]:
        if not self._suspects:
            return
        self._emptied = self._emptied or self._loads.least()
        if self._emptied is None:
            return
        load = self._loads[self._emptied]
        while self._suspects and not load.tickets:  # again if the caller found that nobody needs it any more
            ticket = self._suspects.popleft()
            self._loads.give(self._emptied, ticket)
            load.alone = True
            yield self._emptied, ticket
