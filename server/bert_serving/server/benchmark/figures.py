"""Numbers from measured times: percentiles, rates and the accounting of an open loop. Pure: no clock, no sockets.

All times are seconds of one monotonic clock unless a name says otherwise.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

MS = 1000.0


@dataclass(frozen=True, slots=True)
class Sample:
    """One answered request. `tokens` is the number of its tokens after cutting, None if nobody knows."""

    began_s: float
    ended_s: float
    sentences: int
    tokens: int | None = None


@dataclass(frozen=True, slots=True)
class Spread:
    """A figure over several repeats."""

    median: float
    min: float
    max: float


@dataclass(frozen=True, slots=True)
class Latency:
    """Percentiles in milliseconds, by nearest rank: each is a time that a request really took."""

    p50: float
    p99: float
    p999: float
    max: float


@dataclass(frozen=True, slots=True)
class Arrivals:
    """What became of the requests of an open loop.

    `latencies_s` counts from the scheduled arrival and has an entry for each request, also for one that was never
    answered: that has waited at least until the end, and to leave it out would flatter the server.
    """

    latencies_s: list[float]
    unanswered: int


def percentile(values: Sequence[float], percent: float) -> float:
    """The smallest of `values` that at least `percent` of them do not exceed. ValueError if there are none."""
    if not values:
        raise ValueError("no values, no percentile")
    # rounded, because 99.9 / 100 * 1000 is a little above 999
    rank = math.ceil(round(percent / 100 * len(values), 9))
    return sorted(values)[max(rank, 1) - 1]


def latency(seconds: Sequence[float]) -> Latency | None:
    """Percentiles of these times, None if there are none."""
    if not seconds:
        return None
    p50, p99, p999, most = (percentile(seconds, percent) * MS for percent in (50, 99, 99.9, 100))
    return Latency(p50, p99, p999, most)


def spread(values: Sequence[float]) -> Spread:
    """Median, minimum and maximum; the median of an even number of values is the mean of the middle two."""
    ordered = sorted(values)
    middle = len(ordered) // 2
    median = ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2
    return Spread(median, ordered[0], ordered[-1])


def number_of_repeats(samples: Sequence[Sample], wanted: int, num_client: int) -> int:
    """In how many windows a measurement may be cut: a window shorter than a request would repeat nothing."""
    return max(1, min(wanted, len(samples) // num_client))


def window_rates(work: Iterable[tuple[float, float, float]], began_s: float, ended_s: float, num: int) -> list[float]:
    """Amounts per second in each of `num` equal windows from `began_s` to `ended_s`.

    `work` holds (began, ended, amount). An amount counts evenly over its time, so that a request across the end of a
    window counts in both by its share, and one in progress at `ended_s` by what was done of it.
    """
    width = (ended_s - began_s) / num
    rates = [0.0] * num
    for start, end, amount in work:
        duration = max(end - start, 1e-9)
        first = max(0, int((start - began_s) / width))
        for window in range(first, num):
            low, high = began_s + window * width, began_s + (window + 1) * width
            if low >= end:
                break
            rates[window] += amount * max(0.0, min(high, start + duration) - max(low, start)) / duration / width
    return rates


def sentence_rates(samples: Sequence[Sample], began_s: float, ended_s: float, num: int) -> list[float]:
    """Sentences per second in each window."""
    return window_rates(((s.began_s, s.ended_s, s.sentences) for s in samples), began_s, ended_s, num)


def token_rates(samples: Sequence[Sample], began_s: float, ended_s: float, num: int) -> list[float] | None:
    """Tokens per second in each window; None if they are not known of every request."""
    work = [(s.began_s, s.ended_s, float(s.tokens)) for s in samples if s.tokens is not None]
    return window_rates(work, began_s, ended_s, num) if len(work) == len(samples) and work else None


def account(scheduled_s: Sequence[float], answered_s: Sequence[float | None], ended_s: float) -> Arrivals:
    """Latencies of an open loop, from the time at which each request should have been sent.

    So the time that a request waits because the one before it is late counts as well; measured from the sending,
    a server that stalls would look fast. `answered_s` holds None for a request without an answer until `ended_s`.
    """
    pairs = list(zip(scheduled_s, answered_s, strict=True))
    latencies = [(ended_s if answered is None else answered) - scheduled for scheduled, answered in pairs]
    return Arrivals(latencies, sum(answered is None for _, answered in pairs))


def padding_share(tokens: int, padded_tokens: int) -> float | None:
    """The share of computed tokens that were padding, 0 to 1; None if nothing was computed."""
    return 1 - tokens / padded_tokens if padded_tokens > 0 else None
