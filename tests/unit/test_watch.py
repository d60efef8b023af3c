"""When a piece of work counts as hung, and when not."""

from __future__ import annotations

import pytest

from bert_serving.server.worker.watch import MOST_S, Watch

LIMIT_S = 10.0


def looks(watch: Watch, begin_s: float, end_s: float, *, waiting: bool = False) -> float | None:
    """What the last look says, of one each second; the others must have said nothing."""
    said = None
    for second in range(int(end_s - begin_s) + 1):
        assert said is None, f"said {said} before {begin_s + second}"
        said = watch.look(begin_s + second, waiting=waiting)
    return said


@pytest.fixture
def watch() -> Watch:
    watch = Watch(LIMIT_S)
    watch.look(100, waiting=False)
    return watch


def test_who_does_not_end_is_told_of_after_the_limit(watch: Watch) -> None:
    watch.begin("lane-0", 100.5)
    assert looks(watch, 101, 110) is None
    assert watch.look(111, waiting=False) == pytest.approx(10.5)


def test_one_that_hangs_is_found_though_another_goes_on(watch: Watch) -> None:
    watch.begin("lane-0", 100)
    for second in range(101, 111):
        watch.begin("lane-1", second)
        assert watch.look(second, waiting=True) is None
        watch.end("lane-1", second + 0.5)
    assert watch.look(111, waiting=True) == 11


def test_many_short_pieces_are_no_long_one(watch: Watch) -> None:
    for second in range(101, 140):
        watch.begin("lane-0", second)
        assert watch.look(second + 0.5, waiting=True) is None
        watch.end("lane-0", second + 0.9)


def test_an_idle_worker_is_never_hung(watch: Watch) -> None:
    watch.begin("lane-0", 100)
    watch.end("lane-0", 101)
    assert looks(watch, 101, 1000) is None


def test_work_that_nobody_begins_is_told_of(watch: Watch) -> None:
    assert looks(watch, 150, 160, waiting=True) is None
    assert watch.look(161, waiting=True) == 11


def test_work_waits_anew_after_each_end(watch: Watch) -> None:
    watch.begin("lane-0", 100)
    assert looks(watch, 101, 109, waiting=True) is None
    watch.end("lane-0", 109)
    assert looks(watch, 110, 119, waiting=True) is None
    assert watch.look(120, waiting=True) == 11


def test_time_in_which_the_process_did_not_run_does_not_count(watch: Watch) -> None:
    watch.begin("lane-0", 100)
    assert watch.look(101, waiting=True) is None
    assert watch.look(5000, waiting=True) is None  # stopped, and continued
    assert looks(watch, 5001, 5007, waiting=True) is None
    assert watch.look(5008, waiting=True) == 11


def test_what_begins_right_after_a_stop_begins_then(watch: Watch) -> None:
    watch.begin("lane-0", 5000)
    assert looks(watch, 5001, 5010) is None
    assert watch.look(5011 + MOST_S, waiting=False) is not None


def test_a_first_compilation_has_a_limit_of_its_own_and_others_wait_for_it(watch: Watch) -> None:
    watch.begin("lane-0", 100)
    watch.begin("lane-1", 105, limit_s=50)
    assert looks(watch, 106, 150, waiting=True) is None
    watch.end("lane-1", 150)
    assert looks(watch, 151, 160, waiting=True) is None
    assert watch.look(161, waiting=True) == 11


def test_a_compilation_may_hang_too(watch: Watch) -> None:
    watch.begin("lane-1", 100, limit_s=50)
    assert looks(watch, 101, 150, waiting=True) is None
    assert watch.look(151, waiting=True) == 51
