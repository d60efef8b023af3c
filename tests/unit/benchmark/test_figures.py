"""Percentiles, rates by window, and the accounting of an open loop."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest

from bert_serving.server.benchmark.figures import (
    Sample,
    Spread,
    account,
    latency,
    number_of_repeats,
    padding_share,
    percentile,
    sentence_rates,
    spread,
    token_rates,
)
from bert_serving.server.benchmark.workloads import poisson_schedule


@pytest.mark.parametrize(
    ("percent", "value"), [(0, 1), (50, 500), (50.01, 501), (99, 990), (99.9, 999), (99.91, 1000), (100, 1000)]
)
def test_percentile_is_the_nearest_rank(percent: float, value: int) -> None:
    assert percentile([*range(1000, 0, -1)], percent) == value


def test_percentile_of_few_values_is_one_of_them() -> None:
    assert [percentile([3.0, 1.0, 2.0], percent) for percent in (1, 33, 34, 50, 67, 99.9)] == [1, 1, 2, 2, 3, 3]
    with pytest.raises(ValueError, match="no values"):
        percentile([], 50)


def test_latency_is_in_milliseconds() -> None:
    assert latency([]) is None
    found = latency([0.001 * number for number in range(1, 2001)])
    assert found is not None
    shown = [found.p50, found.p99, found.p999, found.max]
    assert shown == pytest.approx([1000, 1980, 1998, 2000])


def test_spread() -> None:
    assert spread([5.0, 1.0, 3.0]) == Spread(3.0, 1.0, 5.0)
    assert spread([4.0, 1.0, 3.0, 8.0]) == Spread(3.5, 1.0, 8.0)


def test_a_request_counts_in_each_window_by_its_share() -> None:
    samples = [Sample(0.0, 1.5, 30), Sample(1.5, 2.5, 10)]
    # of 30 sentences 20 in the first second, 10 in the second; of the other 10 half, the rest after the end
    assert sentence_rates(samples, 0.0, 2.0, 2) == pytest.approx([20, 15])
    assert sentence_rates(samples, 0.0, 2.0, 1) == pytest.approx([17.5])


def test_what_began_before_the_first_window_counts_by_what_is_in_it() -> None:
    assert sentence_rates([Sample(-1.0, 1.0, 10)], 0.0, 2.0, 2) == pytest.approx([5, 0])


def test_rates_add_up_to_what_was_done() -> None:
    samples = [Sample(0.1 * number, 0.1 * number + 0.07, 7) for number in range(30)]
    rates = sentence_rates(samples, 0.0, 3.0, 7)
    assert sum(rates) * 3 / 7 == pytest.approx(210)


def test_tokens_are_known_of_all_requests_or_not_at_all() -> None:
    known = Sample(0.0, 1.0, 2, 50)
    assert token_rates([known, known], 0.0, 1.0, 1) == pytest.approx([100])
    assert token_rates([known, Sample(0.0, 1.0, 2)], 0.0, 1.0, 1) is None
    assert token_rates([], 0.0, 1.0, 1) is None


@pytest.mark.parametrize(
    ("requests", "clients", "repeats"), [(0, 1, 1), (5, 1, 5), (50, 1, 10), (50, 10, 5), (3, 4, 1)]
)
def test_no_more_repeats_than_requests_of_a_client(requests: int, clients: int, repeats: int) -> None:
    assert number_of_repeats([Sample(0, 1, 1)] * requests, 10, clients) == repeats


def test_a_stalled_server_shows_in_the_tail() -> None:
    """It answers within 1 ms, but for one second in the middle not at all; all that arrived then is late."""
    scheduled = [number / 100 for number in range(1000)]
    answered = [6.0 if 5 <= when < 6 else when + 0.001 for when in scheduled]
    arrivals = account(scheduled, answered, 10.0)
    found = latency(arrivals.latencies_s)
    assert found is not None
    assert (arrivals.unanswered, len(arrivals.latencies_s)) == (0, 1000)
    assert [found.p50, found.p99, found.max] == pytest.approx([1, 900, 1000])
    # a loop that waits for its answers would have sent one request in that second, and seen 1 ms at p99
    closed = [answer - when for when, answer in zip(scheduled, answered, strict=True) if not 5 < when < 6]
    assert percentile(closed, 99) == pytest.approx(0.001)


def test_an_overloaded_server_falls_behind_by_the_schedule() -> None:
    """100 arrive a second and 50 are answered: the wait grows although each takes 20 ms."""
    scheduled = [number / 100 for number in range(1000)]
    arrivals = account(scheduled, [(number + 1) / 50 for number in range(1000)], 20.0)
    assert percentile(arrivals.latencies_s, 50) == pytest.approx(5, abs=0.1)
    assert max(arrivals.latencies_s) == pytest.approx(10.01)


def test_what_is_never_answered_has_waited_until_the_end() -> None:
    arrivals = account([0.0, 1.0, 2.0], [0.5, None, None], 10.0)
    assert arrivals.latencies_s == [0.5, 9.0, 8.0]
    assert arrivals.unanswered == 2


def test_schedule_has_the_rate_and_is_the_same_for_a_seed() -> None:
    schedule = poisson_schedule(100, 100, 1)
    assert schedule == poisson_schedule(100, 100, 1) != poisson_schedule(100, 100, 2)
    assert schedule == sorted(schedule)
    assert schedule[0] > 0
    assert schedule[-1] < 100
    assert len(schedule) == pytest.approx(10_000, rel=0.05)
    gaps = [later - earlier for earlier, later in pairwise(schedule)]
    longer = sum(gap > 0.01 for gap in gaps) / len(gaps)
    assert longer == pytest.approx(math.exp(-1), rel=0.05)  # of a Poisson process; of an even one none would be


def test_padding() -> None:
    assert padding_share(75, 100) == 0.25
    assert padding_share(0, 0) is None
