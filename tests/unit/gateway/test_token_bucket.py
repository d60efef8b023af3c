"""A limit of tokens a minute: what is left, what is owed, and when to come again."""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from bert_serving.server.gateway.token_bucket import Bucket

AMOUNTS = st.integers(0, 10**9)
LIMITS = st.integers(1, 10**9)
TIMES = st.floats(0, 1e6)


def test_a_minutes_worth_is_there_at_once_and_comes_back_within_a_minute() -> None:
    bucket = Bucket.full(600, 100.0)
    assert bucket.wait_s(100.0) == 0
    bucket = bucket.taken(600, 100.0)
    assert (bucket.left(100.0), bucket.wait_s(100.0)) == (0, 1)
    assert bucket.left(130.0) == 300
    assert bucket.left(160.0) == bucket.left(1e9) == 600


@pytest.mark.parametrize(
    ("used", "wait_s"), [(599, 0), (600, 1), (601, 1), (609, 1), (610, 2), (1200, 61), (60_600, 6001)]
)
def test_what_is_owed_has_to_come_in_first(used: int, wait_s: int) -> None:
    assert Bucket.full(600, 0.0).taken(used, 0.0).wait_s(0.0) == wait_s


@given(LIMITS, AMOUNTS, TIMES)
def test_who_waits_as_told_may_ask_and_a_second_before_may_not_long_have_done_so(
    limit: int, used: int, now_s: float
) -> None:
    bucket = Bucket.full(limit, now_s).taken(used, now_s)
    wait_s = bucket.wait_s(now_s)
    assert bucket.wait_s(now_s + wait_s) == 0
    assert wait_s == 0 or bucket.left(now_s + wait_s - 1.001) <= 0


@given(LIMITS, st.lists(st.tuples(AMOUNTS, st.floats(0, 1000))))
def test_no_more_is_let_through_than_the_limit_says(limit: int, steps: list[tuple[int, float]]) -> None:
    """In any time: what its minutes give, a full bucket, and the one answer that emptied it."""
    now_s, bucket, used, largest = 0.0, Bucket.full(limit, 0.0), 0, 0
    for tokens, pause_s in steps:
        now_s += pause_s
        if not bucket.wait_s(now_s):
            bucket = bucket.taken(tokens, now_s)
            used, largest = used + tokens, max(largest, tokens)
        assert bucket.left(now_s) <= limit
        assert used <= (limit + limit * now_s / 60 + largest) * (1 + 1e-9)


@given(LIMITS, LIMITS, AMOUNTS, TIMES)
def test_another_limit_forgives_nothing(limit: int, other: int, used: int, now_s: float) -> None:
    bucket = Bucket.full(limit, now_s).taken(used, now_s)
    changed = bucket.with_limit(other, now_s)
    assert changed.left(now_s) == min(other, bucket.left(now_s))
    assume(used > limit)
    assert changed.wait_s(now_s) > 0


def test_a_clock_that_goes_back_gives_nothing() -> None:
    bucket = Bucket.full(60, 100.0).taken(60, 100.0)
    assert bucket.left(50.0) == 0
    assert bucket.taken(1, 50.0).left(101.0) == 0
