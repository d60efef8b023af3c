"""Closed jobs: every one is remembered for ever, at the cost of those that are open."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from bert_serving.server.sink.closed import Closed


@given(st.lists(st.integers(-20, 40), max_size=80))
def test_it_is_a_set(numbers: list[int]) -> None:
    closed, expected = Closed(), set[int]()
    for number in numbers:
        closed.add(number)
        expected.add(number)
        assert {one for one in range(-25, 45) if one in closed} == expected
    gaps = {one for one in expected if one + 1 not in expected}
    assert closed.runs == len(gaps)  # no two that touch


def test_a_million_jobs_cost_what_the_open_ones_do() -> None:
    rng, closed, is_open = random.Random(3), Closed(), list[int]()
    for number in range(1, 200_000):
        is_open.append(number)
        if len(is_open) > 50:
            closed.add(is_open.pop(rng.randrange(len(is_open))))
        assert closed.runs <= len(is_open) + 1
    assert all(number not in closed for number in is_open)
    assert 1 in closed or 1 in is_open
