"""First answers and subscriptions: each of one goes with one of the other, whichever comes first."""

from __future__ import annotations

from collections import deque

from hypothesis import given
from hypothesis import strategies as st

from bert_serving.server.sink.first_answers import MOST_WAITING, WAIT_S, FirstAnswers


def test_who_subscribes_in_time_gets_nobody_elses() -> None:
    first = FirstAnswers()
    for client in range(3):
        assert first.subscribed(b"a", now_s=client) is None
        first.sent(b"a", [b"config"], now_s=client)


def test_who_subscribes_late_gets_its_own() -> None:
    first = FirstAnswers()
    first.subscribed(b"a", now_s=0)
    first.sent(b"a", [b"to the one that is there"], now_s=0)
    first.sent(b"a", [b"to the second"], now_s=1)
    first.sent(b"a", [b"to the third"], now_s=1)
    assert first.subscribed(b"b", now_s=1) is None
    assert first.subscribed(b"a", now_s=2) == [b"to the second"]
    assert first.subscribed(b"a", now_s=2) == [b"to the third"]
    assert first.subscribed(b"a", now_s=2) is None


@given(st.lists(st.tuples(st.sampled_from([b"a", b"b"]), st.booleans(), st.floats(0, WAIT_S)), max_size=60))
def test_each_is_matched_once_within_its_time(events: list[tuple[bytes, bool, float]]) -> None:
    first, now_s = FirstAnswers(), 0.0
    answers: dict[bytes, deque[tuple[float, list[bytes]]]] = {b"a": deque(), b"b": deque()}
    subscriptions: dict[bytes, deque[float]] = {b"a": deque(), b"b": deque()}
    for number, (identity, is_subscription, later_s) in enumerate(events):
        now_s += later_s
        for waiting in answers.values():
            while waiting and waiting[0][0] + WAIT_S <= now_s:
                waiting.popleft()
        for came in subscriptions.values():
            while came and came[0] + WAIT_S <= now_s:
                came.popleft()
        first.expire(now_s)
        frames = [b"%d" % number]
        if is_subscription:
            expected = answers[identity].popleft()[1] if answers[identity] else None
            assert first.subscribed(identity, now_s) == expected
            if expected is None and len(subscriptions[identity]) < MOST_WAITING:
                subscriptions[identity].append(now_s)
        else:
            first.sent(identity, frames, now_s)
            if subscriptions[identity]:
                subscriptions[identity].popleft()
            elif len(answers[identity]) < MOST_WAITING:
                answers[identity].append((now_s, frames))
    first.expire(now_s + WAIT_S)
    assert not first._waiting
    assert not first._ends


def test_one_that_asks_and_asks_fills_no_memory() -> None:
    first = FirstAnswers()
    for _ in range(1000):
        first.sent(b"a", [b"config"], now_s=0)
    assert len(first._ends) == len(first._waiting[b"a"]) == MOST_WAITING
