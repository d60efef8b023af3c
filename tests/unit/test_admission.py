"""Admission: bounds kept, room again after an answer, a wait that follows the pace."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from bert_serving.server.ventilator.admission import LONGEST_WAIT_S, SHORTEST_WAIT_S, Admission

REQUESTS = st.lists(st.tuples(st.integers(1, 60), st.integers(0, 600), st.booleans()), max_size=60)


@given(REQUESTS)
def test_open_work_stays_within_bounds_but_one_request_always_comes_in(requests: list[tuple[int, int, bool]]) -> None:
    admission = Admission(max_rows=100, max_bytes=1000)
    inside: list[tuple[int, int]] = []
    for rows, size, leaves in requests:
        fits = sum(r for r, _ in inside) + rows <= 100 and sum(s for _, s in inside) + size <= 1000
        assert admission.admit(rows, size) == (fits or not inside)
        if fits or not inside:
            inside.append((rows, size))
        if leaves:
            admission.release(*inside.pop(0))
        assert admission.rows == sum(rows for rows, _ in inside)


def test_the_wait_follows_the_pace() -> None:
    admission = Admission(max_rows=100, max_bytes=10**9)
    assert admission.wait_s(10, now_s=0.0) == LONGEST_WAIT_S / 5  # no pace is known
    for second in range(3):
        assert admission.admit(50, 1)
        admission.release(50, 1)
        admission.answered(50, now_s=float(second))
    admission.admit(100, 1)
    assert admission.wait_s(50, now_s=3.0) == 1.0  # 150 rows in 3 s, and 50 have to go
    assert admission.wait_s(1, now_s=3.0) == SHORTEST_WAIT_S
    assert admission.wait_s(50, now_s=60.0) == LONGEST_WAIT_S / 5


def test_answers_to_come_are_counted_too() -> None:
    admission = Admission(1000, 10**9, max_answer_bytes=100)
    assert admission.admit(1, 1, 500)  # alone
    assert not admission.admit(1, 1, 1)
    assert admission.full_for(1, 1, 1) == "-max_answer_mb"
    admission.release(1, 1, 500)
    assert admission.admit(1, 1, 60)
    assert not admission.admit(1, 1, 60)
    assert admission.admit(1, 1, 40)
