"""What clients ask, and when: the load of a simulation. Pure: the same seed gives the same trace.

open loop     requests arrive at given times, whatever became of those before: `Arrival`s
closed loop   a client keeps some requests under way for a while: a `Filler`
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from bert_serving.server.benchmark.workloads import poisson_schedule


@dataclass(frozen=True, slots=True)
class Arrival:
    """A request that comes at `at_s`; `lengths` are the tokens of its texts."""

    at_s: float
    client: bytes
    lengths: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Filler:
    """A client that has `in_flight` requests of `rows` texts under way from `from_s` to `until_s`.

    It draws the lengths from `lengths`, in order, from a place of its own on.
    """

    client: bytes
    rows: int
    in_flight: int
    lengths: tuple[int, ...]
    until_s: float
    from_s: float = 0.0

    def request(self, number: int) -> tuple[int, ...]:
        """The lengths of its request of that number."""
        first = int.from_bytes(self.client, "big") % len(self.lengths) + number * self.rows
        return tuple(self.lengths[place % len(self.lengths)] for place in range(first, first + self.rows))


@dataclass(frozen=True, slots=True)
class Outage:
    """These workers end at `at_s` with all that they have, and are ready again at `back_s`."""

    at_s: float
    back_s: float
    workers: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Trace:
    """A load. Requests are asked in `duration_s`; what is open then is finished."""

    name: str
    duration_s: float
    arrivals: tuple[Arrival, ...] = ()
    fillers: tuple[Filler, ...] = ()
    outages: tuple[Outage, ...] = ()


def poisson(
    rate: float, duration_s: float, lengths: Sequence[int], seed: int, *, rows: int = 1, clients: int = 1
) -> tuple[Arrival, ...]:
    """Requests of `rows` texts that arrive independently of one another, `rate` a second; clients take turns."""
    draw = random.Random(seed + 1)
    return tuple(
        Arrival(at_s, b"interactive-%d" % (number % clients), tuple(draw.choices(lengths, k=rows)))
        for number, at_s in enumerate(poisson_schedule(rate, duration_s, seed))
    )


def bursts(
    every_s: float, requests: int, duration_s: float, lengths: Sequence[int], seed: int, *, rows: int = 1
) -> tuple[Arrival, ...]:
    """`requests` at once, each of another client, again and again."""
    draw = random.Random(seed)
    times = [number * every_s for number in range(int(duration_s / every_s))]
    return tuple(
        Arrival(at_s, b"burst-%d" % client, tuple(draw.choices(lengths, k=rows)))
        for at_s in times
        for client in range(requests)
    )


def bulk_beside_interactive(
    lengths: Sequence[int],
    *,
    workers: int,
    duration_s: float,
    seed: int,
    rate_a_worker: float = 10.0,
    sizes: Sequence[int] = (64, 128, 256),
    outage: Outage | None = None,
) -> Trace:
    """Bulk clients that keep `workers` full, with requests of each of `sizes`, beside single texts at random times.

    For every two workers there is a client of each size, and all have the same number of texts under way: about 400 a
    worker, many micro-batches.
    """
    pool = tuple(lengths)
    most = max(sizes)
    groups = -(-workers // 2)
    fillers = tuple(
        Filler(b"bulk-%d-of-%d" % (group, size), size, most // size, pool, duration_s)
        for group in range(groups)
        for size in sizes
    )
    singles = poisson(rate_a_worker * workers, duration_s, lengths, seed, clients=4 * groups)
    outages = () if outage is None else (outage,)
    return Trace("bulk beside interactive", duration_s, singles, fillers, outages)
