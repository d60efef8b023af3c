"""Parts as the scheduler sees them, in queues that are fair to clients. Pure."""

from __future__ import annotations

from collections import OrderedDict, deque
from dataclasses import dataclass
from typing import NamedTuple


class PartKey(NamedTuple):
    """Names a part: its job and the position of its first row in it. It is hashed for every row."""

    job: int
    offset: int


@dataclass(slots=True)  # not frozen, which would take four times as long for every part
class Ticket:
    """A part as the scheduler sees it."""

    key: PartKey
    rows: int
    client: bytes
    urgent: bool


class FairQueue:
    """Tickets of many clients; each client's in order, the clients by turns. `rows` is how many wait in all."""

    def __init__(self) -> None:
        self._by_client: OrderedDict[bytes, deque[Ticket]] = OrderedDict()
        self.rows = 0

    def __bool__(self) -> bool:
        return bool(self._by_client)

    def push(self, ticket: Ticket) -> None:
        self._by_client.setdefault(ticket.client, deque()).append(ticket)
        self.rows += ticket.rows

    def push_back(self, ticket: Ticket) -> None:
        """Put a ticket at the very front: it was handed out once already."""
        self._by_client.setdefault(ticket.client, deque()).appendleft(ticket)
        self._by_client.move_to_end(ticket.client, last=False)
        self.rows += ticket.rows

    def peek(self, only_job: int | None = None) -> Ticket | None:
        """What comes next, of one job alone if it is named; None if there is none."""
        if only_job is None:
            return next(iter(self._by_client.values()))[0] if self._by_client else None
        waiting = (ticket for queue in self._by_client.values() for ticket in queue)
        return next((ticket for ticket in waiting if ticket.key.job == only_job), None)

    def remove(self, ticket: Ticket) -> None:
        """Take out a ticket that `peek` gave; its client comes again after all others."""
        queue = self._by_client[ticket.client]
        if queue[0] is ticket:
            queue.popleft()
        else:
            queue.remove(ticket)
        self.rows -= ticket.rows
        if queue:
            self._by_client.move_to_end(ticket.client)
        else:
            del self._by_client[ticket.client]
