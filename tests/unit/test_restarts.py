"""Restarts: at once after a crash, ever later after many, and not for ever."""

from __future__ import annotations

from bert_serving.server.service.restarts import LONGEST_WAIT_S, MOST_IN_A_ROW, Restarts


def test_each_failure_in_a_row_doubles_the_wait_until_it_is_given_up() -> None:
    restarts = Restarts()
    waits = [restarts.ended("w", now_s=0.0) for _ in range(MOST_IN_A_ROW + 1)]
    assert waits[:3] == [0.2, 0.4, 0.8]
    assert waits[-2:] == [LONGEST_WAIT_S, None]


def test_who_was_ready_begins_anew() -> None:
    restarts = Restarts()
    restarts.ended("w", now_s=0.0)
    restarts.ended("w", now_s=0.0)
    restarts.ready("w")
    assert restarts.ended("w", now_s=0.0) == 0.2


def test_they_are_due_once_and_in_time() -> None:
    restarts = Restarts()
    restarts.ended("a", now_s=0.0)
    restarts.ended("b", now_s=5.0)
    assert restarts.take_due(now_s=0.1) == []
    assert restarts.take_due(now_s=0.2) == ["a"]
    assert restarts.take_due(now_s=1.0) == []
    assert restarts
    assert [restarts.expects(name) for name in ("a", "b")] == [False, True]
    assert restarts.take_due(now_s=9.0) == ["b"]
    assert not restarts
