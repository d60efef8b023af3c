"""Retries: each in turn, the more rarely the longer it is full, and nothing is kept of those that are gone."""

from __future__ import annotations

from itertools import islice

from hypothesis import given
from hypothesis import strategies as st

from bert_serving.server.sink.retries import FIRST_WAIT_S, LONGEST_WAIT_S, Retries


def test_one_that_stays_full_is_tried_ever_more_rarely() -> None:
    retries, now_s, tries = Retries(), 0.0, 0
    retries.later(b"a", now_s)
    while now_s < 60:
        now_s = retries.next_s
        assert list(retries.due(now_s)) == [b"a"]
        tries += 1
        retries.later(b"a", now_s)
    assert tries < 70


def test_after_a_success_it_is_tried_at_once_and_soon_again() -> None:
    retries = Retries()
    for _ in range(20):
        retries.later(b"a", 0)
    assert retries.next_s == LONGEST_WAIT_S
    retries.soon(b"a", 1)
    assert list(retries.due(1)) == [b"a"]
    retries.later(b"a", 1)
    assert retries.next_s == 1 + FIRST_WAIT_S


def test_those_with_more_to_send_take_turns() -> None:
    retries = Retries()
    for identity in (b"a", b"b", b"c"):
        retries.soon(identity, 0)
    turns = []
    for identity in islice(retries.due(0), 9):
        turns.append(identity)
        retries.soon(identity, 0)
    assert turns == [b"a", b"b", b"c"] * 3


@given(st.lists(st.tuples(st.sampled_from("slfd"), st.integers(0, 5)), max_size=200))
def test_what_is_out_of_date_takes_no_room(steps: list[tuple[str, int]]) -> None:
    retries, expected, now_s = Retries(), set[bytes](), 0.0
    for kind, number in steps:
        identity, now_s = b"%d" % number, now_s + 0.01
        if kind == "s":
            retries.soon(identity, now_s)
            expected.add(identity)
        elif kind == "l":
            retries.later(identity, now_s)
            expected.add(identity)
        elif kind == "f":
            retries.forget(identity)
            expected.discard(identity)
        else:
            expected -= set(retries.due(now_s))
        assert {b"%d" % one for one in range(6) if b"%d" % one in retries} == expected
        assert len(retries._heap) <= 2 * len(expected) + 65
    assert set(retries.due(now_s + 10)) == expected
    assert retries.next_s == float("inf")
