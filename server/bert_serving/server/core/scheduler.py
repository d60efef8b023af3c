"""Which part goes to which worker, and when. Pure; the ventilator asks it.

A worker holds at most `window_rows` of bulk work, enough for its batcher to find rows of like length, and as much
again of urgent work, so that urgent parts never wait behind bulk ones. Within a class, clients take turns.
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
    """What a worker has in flight."""

    tickets: dict[PartKey, Ticket] = field(default_factory=dict)

    def rows(self, urgent: bool) -> int:
        return sum(ticket.rows for ticket in self.tickets.values() if ticket.urgent is urgent)

    @property
    def all_rows(self) -> int:
        return sum(ticket.rows for ticket in self.tickets.values())


class Scheduler:
    """Queues of tickets in, pairs of worker and ticket out."""

    def __init__(self, window_rows: int) -> None:
        self._window_rows = window_rows
        self._queues = {True: FairQueue(), False: FairQueue()}
        self._loads: dict[str, _Load] = {}

    @property
    def workers(self) -> list[str]:
        return list(self._loads)

    @property
    def queued_rows(self) -> int:
        """Rows that no worker has yet."""
        return sum(ticket.rows for queue in self._queues.values() for ticket in queue)

    def in_flight_rows(self, worker: str) -> int:
        return self._loads[worker].all_rows

    def add_worker(self, worker: str) -> None:
        """Begin to give work to `worker`."""
        self._loads.setdefault(worker, _Load())

    def remove_worker(self, worker: str) -> list[Ticket]:
        """Forget a worker; what it had in flight goes back to the front of the queues. Returns those tickets."""
        load = self._loads.pop(worker, _Load())
        lost = list(load.tickets.values())
        for ticket in reversed(lost):
            self._queues[ticket.urgent].push_back(ticket)
        return lost

    def submit(self, ticket: Ticket) -> None:
        self._queues[ticket.urgent].push(ticket)

    def finished(self, worker: str, key: PartKey) -> None:
        """`worker` has done with a part; one that it never had changes nothing."""
        if worker in self._loads:
            self._loads[worker].tickets.pop(key, None)

    def assign(self) -> Iterator[tuple[str, Ticket]]:
        """Hand out all that has room now, urgent parts first."""
        for urgent in (True, False):
            queue = self._queues[urgent]
            while queue and (worker := self._worker_with_room(queue.peek())) is not None:
                ticket = queue.pop()
                self._loads[worker].tickets[ticket.key] = ticket
                yield worker, ticket

    def _worker_with_room(self, ticket: Ticket) -> str | None:
        def has_room(load: _Load) -> bool:
            held = load.rows(ticket.urgent)
            return held == 0 or held + ticket.rows <= self._window_rows

        free = [worker for worker, load in self._loads.items() if has_room(load)]
        return min(free, key=lambda worker: self._loads[worker].all_rows, default=None)
