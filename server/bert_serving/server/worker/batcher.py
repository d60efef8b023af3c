"""Which rows run together next. Pure; a worker's lanes ask it.

A micro-batch takes rows of any part and client, but of one group: what changes the forward pass itself. It holds the
row that has waited longest and those nearest to it in length, as many as fit into `max_rows` and, padding counted,
`max_tokens`; but no neighbour that would add more for nothing to attention than `spare_pairs`, for then another batch
is cheaper. So rows of similar length run together and no row waits forever. Where several lanes ask, each takes at most
its share of the rows that wait, so that the next to ask finds some. Urgent rows go first and alone; bulk rows that
waited longer than `patience_s` get every second batch.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from itertools import repeat
from typing import Generic, TypeVar

T = TypeVar("T")


_FEW = 16
"""To insert a row by itself costs about as much as to look at so many in a sort."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Of a micro-batch: its rows, its tokens with padding, and what one more row may cost through padding.

    Padding costs in attention, whose work is a row's pairs of tokens; in all else tokens are packed.
    """

    max_rows: int
    max_tokens: int
    spare_pairs: int

    def allow(self, rows: int, longest: int, added_pairs: int) -> bool:
        return rows * longest <= self.max_tokens and added_pairs <= self.spare_pairs


class _Pool(Generic[T]):
    """Rows of one class and group, found by age and by length."""

    def __init__(self) -> None:
        self._by_age: dict[int, tuple[float, int, T]] = {}
        """By serial number: since when it waits, and its length."""
        self._by_length: list[tuple[int, int]] = []

    def __len__(self) -> int:
        return len(self._by_age)

    def add(self, first: int, rows: Sequence[T], lengths: Sequence[int], now_s: float) -> None:
        """`first`: the serial number of the first row."""
        serials = range(first, first + len(rows))
        self._by_age.update(zip(serials, zip(repeat(now_s), lengths, rows, strict=False), strict=True))
        if len(rows) * _FEW < len(self._by_length):
            for one in zip(lengths, serials, strict=True):
                insort(self._by_length, one)
        else:
            self._by_length += zip(lengths, serials, strict=True)
            self._by_length.sort()

    @property
    def oldest(self) -> int:
        """Its serial number."""
        return next(iter(self._by_age))

    def oldest_since_s(self) -> float:
        return next(iter(self._by_age.values()))[0]

    def take(self, limits: Limits, lanes: int) -> list[T]:
        """Remove and return the oldest row with its neighbours in length; no more than a lane's share of all."""
        most = min(limits.max_rows, -(-len(self) // lanes))
        rows = self._by_length
        serial, (_, length, _) = next(iter(self._by_age.items()))
        low = bisect_left(rows, (length, serial))
        high = low + 1
        while high - low < most:
            longest = rows[high - 1][0]
            if high < len(rows) and rows[high][0] == longest:  # those as long as the longest add nothing
                at_most = min(most, limits.max_tokens // longest) if longest else most
                alike = min(bisect_left(rows, (longest + 1, 0), high), low + at_most)
                if alike > high:
                    high = alike
                    continue
            count = high - low
            # the pairs that a neighbour adds for nothing: a shorter one its own, a longer one those of all the others
            below = longest**2 - rows[low - 1][0] ** 2 if low else None
            above = count * (rows[high][0] ** 2 - longest**2) if high < len(rows) else None
            if above is not None and not limits.allow(count + 1, rows[high][0], above):
                above = None
            if below is not None and not limits.allow(count + 1, longest, below):
                below = None
            if below is not None and (above is None or below <= above):
                low -= 1
            elif above is not None:
                high += 1
            else:
                break
        taken = [self._by_age.pop(serial)[2] for _, serial in rows[low:high]]
        del rows[low:high]
        return taken


class Batcher(Generic[T]):
    """Rows in, micro-batches out."""

    def __init__(self, limits: Limits, lanes: int = 1, patience_s: float = 1.0) -> None:
        self._limits = limits
        self._lanes = lanes
        self._patience_s = patience_s
        self._urgent: dict[Hashable, _Pool[T]] = {}  # by group; none is empty
        self._bulk: dict[Hashable, _Pool[T]] = {}
        self._serial = 0
        self._last_was_urgent = False

    def __len__(self) -> int:
        return sum(map(len, (*self._urgent.values(), *self._bulk.values())))

    def add(
        self, rows: Sequence[T], lengths: Sequence[int], now_s: float, *, urgent: bool = False, group: Hashable = None
    ) -> None:
        """Rows that wait, and their lengths in tokens, which may be 0.

        Rows of one `group` may share a forward pass. Nothing that a request says changes that yet, so all are of one.
        """
        if not rows:
            return
        pools = self._urgent if urgent else self._bulk
        pool = pools.get(group)
        if pool is None:
            pool = pools[group] = _Pool()
        pool.add(self._serial, rows, lengths, now_s)
        self._serial += len(rows)

    def clear(self) -> None:
        """Forget all rows."""
        self._urgent.clear()
        self._bulk.clear()

    def next(self, now_s: float) -> list[T]:
        """The next micro-batch, shortest row first; empty if nothing waits."""
        if not self._urgent and not self._bulk:
            return []
        overdue = bool(self._bulk) and now_s - _eldest(self._bulk)[1].oldest_since_s() > self._patience_s
        bulk_is_next = not self._urgent or (overdue and self._last_was_urgent)
        self._last_was_urgent = not bulk_is_next
        pools = self._bulk if bulk_is_next else self._urgent
        group, pool = _eldest(pools)
        taken = pool.take(self._limits, self._lanes)
        if not pool:
            del pools[group]
        return taken


def _eldest(pools: dict[Hashable, _Pool[T]]) -> tuple[Hashable, _Pool[T]]:
    """The group whose oldest row has waited longest."""
    return min(pools.items(), key=lambda item: item[1].oldest)
