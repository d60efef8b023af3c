"""Which part goes to which worker, and when. Pure; the ventilator asks it.

A worker holds at most `window_rows` of bulk work, enough for its batcher to find rows of like length, and as much
again of urgent work, so that urgent parts never wait behind bulk ones. Within a class, clients take turns.

A part counts as safe only when the sink has confirmed its rows: a worker may die after it sent them and before they
arrived. What a dead worker had goes back to the queue. A part that was there at `SUSPECT_DEATHS` deaths is a suspect
and runs alone from then on: one more death halves it, and a single row that dies alone `POISON_DEATHS` times is poison.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterator
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class PartKey:
    """Names a part: its job and the position of its first row in it."""

    job: int
    offset: int


@dataclass(frozen=True, slots=True)
class Ticket:
    """A part as the scheduler sees it."""

    key: PartKey
    rows: int
    client: bytes
    urgent: bool


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


class FairQueue:
    """Tickets of many clients; each client's in order, the clients by turns."""

    def __init__(self) -> None:
        self._by_client: OrderedDict[bytes, deque[Ticket]] = OrderedDict()

    def __bool__(self) -> bool:
        return bool(self._by_client)

    def __iter__(self) -> Iterator[Ticket]:
        return (ticket for queue in self._by_client.values() for ticket in queue)

    def push(self, ticket: Ticket) -> None:
        self._by_client.setdefault(ticket.client, deque()).append(ticket)

    def push_back(self, ticket: Ticket) -> None:
        """Put a ticket at the very front: it was handed out once already."""
        self._by_client.setdefault(ticket.client, deque()).appendleft(ticket)
        self._by_client.move_to_end(ticket.client, last=False)

    def peek(self) -> Ticket:
        return next(iter(self._by_client.values()))[0]

    def pop(self) -> Ticket:
        client, queue = next(iter(self._by_client.items()))
        ticket = queue.popleft()
        if queue:
            self._by_client.move_to_end(client)
        else:
            del self._by_client[client]
        return ticket


@dataclass(slots=True)
class _Load:
    """What a worker has in flight, and what it has sent to the sink but the sink has not confirmed."""

    tickets: dict[PartKey, Ticket] = field(default_factory=dict)
    unconfirmed: dict[PartKey, Ticket] = field(default_factory=dict)
    alone: bool = False

    def rows(self, urgent: bool) -> int:
        return sum(ticket.rows for ticket in self.tickets.values() if ticket.urgent is urgent)

    @property
    def all_rows(self) -> int:
        return sum(ticket.rows for ticket in self.tickets.values())


@dataclass(frozen=True, slots=True)
class Lost:
    """What a worker had when it died. All but poison is in the queues again, or is to be split first."""

    requeued: tuple[Ticket, ...] = ()
    to_split: Ticket | None = None
    poison: Ticket | None = None


class Scheduler:
    """Queues of tickets in, pairs of worker and ticket out."""

    def __init__(self, window_rows: int) -> None:
        self._window_rows = window_rows
        self._queues = {True: FairQueue(), False: FairQueue()}
        self._suspects: deque[Ticket] = deque()
        self._emptied: str | None = None  # the worker that gets nothing but suspects
        self._deaths: dict[PartKey, int] = {}
        self._loads: dict[str, _Load] = {}

    @property
    def workers(self) -> list[str]:
        return list(self._loads)

    def queued_rows(self, urgent: bool) -> int:
        """Rows of a class that no worker has yet."""
        return sum(ticket.rows for ticket in (*self._queues[urgent], *self._suspects) if ticket.urgent is urgent)

    def add_worker(self, worker: str) -> None:
        """Begin to give work to `worker`."""
        self._loads.setdefault(worker, _Load())

    def remove_worker(self, worker: str) -> Lost:
        """Forget a worker that died; what it had goes back to the front of the queues."""
        load = self._loads.pop(worker, _Load())
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
        load = self._loads.get(worker)
        if load is not None and key in load.tickets:
            load.unconfirmed[key] = load.tickets.pop(key)
            load.alone = False

    def confirmed(self, key: PartKey) -> None:
        """The rows of a part are safe, or nobody needs them any more."""
        self._deaths.pop(key, None)
        for worker, load in self._loads.items():
            self.finished(worker, key)
            load.unconfirmed.pop(key, None)

    def start_again(self) -> None:
        """Forget all work; the workers stay."""
        self._queues = {True: FairQueue(), False: FairQueue()}
        self._suspects.clear()
        self._deaths.clear()
        self._loads = {worker: _Load() for worker in self._loads}

    def assign(self) -> Iterator[tuple[str, Ticket]]:
        """Hand out all that has room now, urgent parts first."""
        yield from self._assign_suspect()
        for urgent in (True, False):
            queue = self._queues[urgent]
            while queue and (worker := self._worker_with_room(queue.peek())) is not None:
                ticket = queue.pop()
                self._loads[worker].tickets[ticket.key] = ticket
                yield worker, ticket

    def _assign_suspect(self) -> Iterator[tuple[str, Ticket]]:
        if not self._suspects or not self._loads:
            return
        if self._emptied is None:
            self._emptied = min(self._loads, key=lambda worker: self._loads[worker].all_rows)
        load = self._loads[self._emptied]
        while self._suspects and not load.tickets:  # again if the caller found that nobody needs it any more
            ticket = self._suspects.popleft()
            load.tickets[ticket.key] = ticket
            load.alone = True
            yield self._emptied, ticket

    def _worker_with_room(self, ticket: Ticket) -> str | None:
        def has_room(worker: str, load: _Load) -> bool:
            if load.alone or (worker == self._emptied and self._suspects):
                return False
            held = load.rows(ticket.urgent)
            return held == 0 or held + ticket.rows <= self._window_rows

        free = [worker for worker, load in self._loads.items() if has_room(worker, load)]
        return min(free, key=lambda worker: self._loads[worker].all_rows, default=None)
