"""Whom a request goes to: shares by weight, nobody who is not well, nobody with another model than is expected."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bert_serving.server.gateway.choice import Candidate, Turns, eligible
from bert_serving.server.gateway.problems import Problem


def candidate(number: int, weight: float = 1, *, is_ready: bool = True, has: str | None = "old") -> Candidate:
    return Candidate(number, weight, is_ready, has)


@given(st.dictionaries(st.integers(0, 9), st.integers(1, 20), min_size=1, max_size=6), st.integers(1, 200))
def test_each_has_its_share_at_any_time(weights: dict[int, int], number: int) -> None:
    turns = Turns()
    counts: Counter[int] = Counter()
    for done in range(1, number + 1):
        counts[turns.take(weights)] += 1
        for one, weight in weights.items():
            share = done * weight / sum(weights.values())
            assert abs(counts[one] - share) < len(weights), (counts, weights)
    assert sum(counts.values()) == number


def test_turns_are_mixed_and_not_in_rows() -> None:
    turns = Turns()
    assert [turns.take({0: 5, 1: 1, 2: 1}) for _ in range(7)] == [0, 0, 1, 0, 2, 0, 0]


@given(st.lists(st.sampled_from([(0, 1), (0,), (1,), (0, 1, 2)]), max_size=100))
def test_who_was_left_out_for_a_time_gets_no_flood_afterwards(times: list[tuple[int, ...]]) -> None:
    turns = Turns()
    for numbers in times:
        assert turns.take(dict.fromkeys(numbers, 1)) in numbers
    counts = Counter(turns.take({0: 1, 1: 1, 2: 1}) for _ in range(30))
    assert max(counts.values()) - min(counts.values()) <= 4


def test_weight_0_takes_nothing_even_if_nobody_else_is_well() -> None:
    found = eligible([candidate(0, 0), candidate(1, is_ready=False)], None)
    assert [one.number for one in found] == [1]


def test_one_that_is_not_well_is_left_out_while_another_is() -> None:
    both = [candidate(0, is_ready=False), candidate(1)]
    assert [one.number for one in eligible(both, None)] == [1]
    none = [candidate(0, is_ready=False), candidate(1, is_ready=False)]
    assert [one.number for one in eligible(none, None)] == [0, 1]


def test_who_expects_a_fingerprint_gets_it_or_nothing() -> None:
    mixed = [candidate(0, 9), candidate(1, has="new"), candidate(2, 0, has="third")]
    assert [one.number for one in eligible(mixed, "new")] == [1]
    assert [one.number for one in eligible(mixed, None)] == [0, 1]
    for expect in ("third", "fourth"):  # of the third nobody takes requests
        with pytest.raises(Problem, match=f"'{expect}' is expected .* has new and old: encode anew") as caught:
            eligible(mixed, expect)
        assert caught.value.status == 409
    # the only one that has it is not well: better none than another
    assert [one.number for one in eligible([candidate(0), candidate(1, has="new", is_ready=False)], "new")] == [1]


def test_a_service_that_has_not_said_what_it_has_may_have_it() -> None:
    with pytest.raises(Problem) as caught:
        eligible([candidate(0), candidate(1, has=None, is_ready=False)], "new")
    assert (caught.value.status, caught.value.retry_after_s) == (503, 5)
    with pytest.raises(Problem, match="has none and old") as caught:
        eligible([candidate(0), candidate(1, has="")], "new")
    assert caught.value.status == 409
