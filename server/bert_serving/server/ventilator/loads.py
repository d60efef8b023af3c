"""What each worker has in flight, and which worker has the least and has room for more. Pure; the scheduler keeps it.

Whoever hands out parts asks for each of them, so nothing here looks at every worker or every part: sums and orders
are kept, and a part knows who has it. A choice among a thousand workers takes about as long as one among two.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from itertools import count

from bert_serving.server.message.tickets import PartKey, Ticket


@dataclass(slots=True)
class Load:
    """What a worker has in flight, and what it has sent to the sink but the sink has not confirmed.

    `rows` counts those in flight by class: bulk, urgent.
    """

    serial: int
    tickets: dict[PartKey, Ticket] = field(default_factory=dict)
    unconfirmed: dict[PartKey, Ticket] = field(default_factory=dict)
    rows: list[int] = field(default_factory=lambda: [0, 0])
    given: int = 0
    """How many parts it ever got."""
    alone: bool = False
    """It has one part, a suspect, and gets no other."""

    @property
    def is_empty(self) -> bool:
        """Whether nothing is expected of it any more."""
        return not self.tickets and not self.unconfirmed


class _Ranking:
    """Workers by rows; among those with as many the one that came first is first."""

    def __init__(self) -> None:
        self._order: list[tuple[int, int, str]] = []

    def __iter__(self) -> Iterator[str]:
        return (worker for _, _, worker in self._order)

    def least_rows(self) -> int | None:
        return self._order[0][0] if self._order else None

    def add(self, worker: str, serial: int, rows: int) -> None:
        insort(self._order, (rows, serial, worker))

    def change(self, worker: str, serial: int, before: int, rows: int) -> None:
        """It has so many rows now."""
        order, new = self._order, (rows, serial, worker)
        at = bisect_left(order, (before, serial, worker))
        if (at and order[at - 1] > new) or (at + 1 < len(order) and order[at + 1] < new):
            del order[at]
            insort(order, new)
        else:
            order[at] = new

    def remove(self, worker: str, serial: int, rows: int) -> None:
        del self._order[bisect_left(self._order, (rows, serial, worker))]


class Loads:
    """Loads by worker."""

    def __init__(self, window_rows: int, urgent_rows: int | None = None) -> None:
        """How many rows a worker may have in flight: of bulk work, and of urgent work, as many if None."""
        self._windows = (window_rows, window_rows if urgent_rows is None else urgent_rows)
        self._serials = count()
        self._loads: dict[str, Load] = {}
        self._holders: dict[PartKey, str] = {}
        self._by_rows = _Ranking()
        self._by_class = (_Ranking(), _Ranking())
        self.rows = 0
        """In flight, at all workers together."""
        self.num_busy = 0
        """Workers with anything in flight."""
        self.computed_rows = 0
        """That ever were sent to the sink."""

    def __iter__(self) -> Iterator[str]:
        return iter(self._loads)

    def __getitem__(self, worker: str) -> Load:
        return self._loads[worker]

    def get(self, worker: str) -> Load | None:
        """None for one that is not there."""
        return self._loads.get(worker)

    def add(self, worker: str) -> None:
        """A worker comes, with nothing to do."""
        if worker not in self._loads:
            self._loads[worker] = Load(next(self._serials))
            self._rank(worker, self._loads[worker])

    def remove(self, worker: str) -> Load:
        """A worker goes; what it had."""
        load = self._loads.pop(worker, None)
        if load is None:
            return Load(0)
        self._unrank(worker, load)
        self.rows -= sum(load.rows)
        self.num_busy -= bool(load.tickets)
        for key in (*load.tickets, *load.unconfirmed):
            del self._holders[key]
        return load

    def give(self, worker: str, ticket: Ticket) -> None:
        """A part is in flight."""
        load = self._loads[worker]
        self.num_busy += not load.tickets
        load.tickets[ticket.key] = ticket
        load.given += 1
        self._holders[ticket.key] = worker
        self._count(worker, load, ticket.urgent, ticket.rows)

    def finished(self, worker: str, key: PartKey) -> None:
        """A worker has sent the rows of a part; one that it does not have changes nothing."""
        load = self._loads.get(worker)
        if load is None or key not in load.tickets:
            return
        ticket = load.unconfirmed[key] = load.tickets.pop(key)
        load.alone = False
        self.num_busy -= not load.tickets
        self.computed_rows += ticket.rows
        self._count(worker, load, ticket.urgent, -ticket.rows)

    def confirmed(self, key: PartKey) -> None:
        """Nobody needs a part any more."""
        worker = self._holders.pop(key, None)
        if worker is not None:
            self.finished(worker, key)
            del self._loads[worker].unconfirmed[key]

    def least(self) -> str | None:
        """The worker with the fewest rows; None if there is none."""
        return next(iter(self._by_rows), None)

    def with_room(self, ticket: Ticket, closed: Collection[str] = ()) -> str | None:
        """The worker with the fewest rows of those whose window has room for a part, but for those `closed`."""

        def has_room(held: int) -> bool:
            return held == 0 or held + ticket.rows <= self._windows[ticket.urgent]

        least = self._by_class[ticket.urgent].least_rows()
        if least is None or not has_room(least):
            return None
        for worker in self._by_rows:
            load = self._loads[worker]
            if has_room(load.rows[ticket.urgent]) and not load.alone and worker not in closed:
                return worker
        return None

    def _count(self, worker: str, load: Load, urgent: bool, rows: int) -> None:
        of_class, of_both = load.rows[urgent], load.rows[0] + load.rows[1]
        load.rows[urgent] = of_class + rows
        self.rows += rows
        self._by_class[urgent].change(worker, load.serial, of_class, of_class + rows)
        self._by_rows.change(worker, load.serial, of_both, of_both + rows)

    def _rank(self, worker: str, load: Load) -> None:
        self._by_rows.add(worker, load.serial, sum(load.rows))
        for ranking, rows in zip(self._by_class, load.rows, strict=True):
            ranking.add(worker, load.serial, rows)

    def _unrank(self, worker: str, load: Load) -> None:
        self._by_rows.remove(worker, load.serial, sum(load.rows))
        for ranking, rows in zip(self._by_class, load.rows, strict=True):
            ranking.remove(worker, load.serial, rows)
