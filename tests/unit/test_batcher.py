"""The batcher: every row once, bounds kept, like lengths together, urgent first, nobody starves."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from bert_serving.server.worker.batcher import Batcher, Limits


class Row(NamedTuple):
    length: int
    urgent: bool
    row: int = 0
    group: str | None = None


def put(batcher: Batcher[Row], row: Row, now_s: float = 0.0) -> None:
    batcher.add([row], [row.length], now_s, urgent=row.urgent, group=row.group)


ROWS = st.lists(st.tuples(st.integers(0, 200), st.booleans()), max_size=80)


def filled(
    lengths: list[tuple[int, bool]], max_rows: int = 16, max_tokens: int = 256, spare_pairs: int = 10**9
) -> Batcher[Row]:
    batcher: Batcher[Row] = Batcher(Limits(max_rows, max_tokens, spare_pairs))
    for number, (length, urgent) in enumerate(lengths):
        put(batcher, Row(length, urgent, number))
    return batcher


@given(ROWS, st.integers(1, 20), st.integers(1, 400))
def test_every_row_comes_out_once_and_bounds_hold(lengths: list[tuple[int, bool]], rows: int, tokens: int) -> None:
    batcher = filled(lengths, rows, tokens)
    seen = []
    while batch := batcher.next(now_s=0.0):
        assert len(batch) <= rows
        assert len(batch) == 1 or len(batch) * max(row.length for row in batch) <= tokens
        assert len({row.urgent for row in batch}) == 1
        seen += [row.row for row in batch]
    assert sorted(seen) == list(range(len(lengths)))
    assert len(batcher) == 0


@given(ROWS.filter(bool))
def test_the_oldest_row_of_its_class_is_in_every_batch(lengths: list[tuple[int, bool]]) -> None:
    batcher = filled(lengths)
    waiting = dict(enumerate(lengths))
    while batch := batcher.next(now_s=0.0):
        urgent = batch[0].urgent
        assert min(n for n, (_, is_urgent) in waiting.items() if is_urgent is urgent) in [row.row for row in batch]
        for row in batch:
            del waiting[row.row]


@given(ROWS)
def test_urgent_rows_go_before_bulk_rows_that_are_not_overdue(lengths: list[tuple[int, bool]]) -> None:
    batcher = filled(lengths)
    order = []
    while batch := batcher.next(now_s=0.5):
        order += [row.urgent for row in batch]
    assert order == sorted(order, reverse=True)


def test_overdue_bulk_rows_get_every_second_batch() -> None:
    batcher: Batcher[Row] = Batcher(Limits(1, 100, 10), patience_s=1.0)
    for _ in range(3):
        put(batcher, Row(5, urgent=False))
        put(batcher, Row(5, urgent=True), now_s=9.0)
    order = [batcher.next(now_s=9.0)[0].urgent for _ in range(6)]
    assert order == [True, False] * 3


def test_a_neighbour_that_costs_more_padding_than_a_batch_waits() -> None:
    batcher = filled([(20, False), (21, False), (24, False), (10, False)], spare_pairs=312)
    assert [row.length for row in batcher.next(0.0)] == [20, 21, 24]  # 24 adds 2 * (24² - 21²) = 270 pairs
    assert [row.length for row in batcher.next(0.0)] == [10]


@given(
    st.lists(st.tuples(st.integers(0, 50), st.booleans(), st.sampled_from(["a", "b", None])), max_size=60),
    st.integers(1, 3),
)
def test_groups_never_mix_and_the_one_that_waited_longest_is_next(
    rows: list[tuple[int, bool, str | None]], lanes: int
) -> None:
    batcher: Batcher[Row] = Batcher(Limits(8, 256, 10**9), lanes)
    for number, (length, urgent, group) in enumerate(rows):
        put(batcher, Row(length, urgent, number, group))
    waiting = dict(enumerate(rows))
    while batch := batcher.next(now_s=0.0):
        assert len({row.group for row in batch}) == 1
        assert min(n for n, row in waiting.items() if row[1] is batch[0].urgent) in [row.row for row in batch]
        for row in batch:
            assert waiting.pop(row.row) == (row.length, row.urgent, row.group)
    assert not waiting


@given(st.lists(st.lists(st.integers(0, 200), max_size=60), max_size=8), st.integers(1, 20))
def test_rows_that_come_together_run_as_those_that_come_one_by_one(parts: list[list[int]], most: int) -> None:
    together: Batcher[int] = Batcher(Limits(most, 400, 4000), lanes=2)
    one_by_one: Batcher[int] = Batcher(Limits(most, 400, 4000), lanes=2)
    number = 0
    for lengths in parts:
        rows = range(number, number := number + len(lengths))
        together.add(rows, lengths, 0.0)
        for row, length in zip(rows, lengths, strict=True):
            one_by_one.add([row], [length], 0.0)
        assert together.next(0.0) == one_by_one.next(0.0)
    while len(together):
        assert together.next(0.0) == one_by_one.next(0.0)
    assert not len(one_by_one)


def test_a_lane_leaves_the_others_their_share() -> None:
    batcher: Batcher[Row] = Batcher(Limits(16, 256, 10**9), lanes=2)
    for number in range(5):
        put(batcher, Row(10, False, number))
    assert [len(batcher.next(0.0)) for _ in range(4)] == [3, 1, 1, 0]


def test_rows_of_like_length_run_together() -> None:
    batcher = filled([(10, False), (100, False), (11, False), (99, False), (12, False), (98, False)], 3, 10**6)
    assert [row.length for row in batcher.next(0.0)] == [10, 11, 12]
    assert [row.length for row in batcher.next(0.0)] == [98, 99, 100]


def test_sorting_saves_most_of_the_padding() -> None:
    lengths = [int(length) for length in np.random.default_rng(0).gamma(2, 20, 512).clip(3, 128)]
    batcher = filled([(length, False) for length in lengths], max_rows=16, max_tokens=10**6)
    padded = 0
    while batch := batcher.next(0.0):
        padded += len(batch) * max(row.length for row in batch)
    in_order = [lengths[start : start + 16] for start in range(0, len(lengths), 16)]
    waste_in_order = sum(len(batch) * max(batch) for batch in in_order) - sum(lengths)
    assert padded - sum(lengths) < waste_in_order / 4


def test_a_fixed_workload_keeps_its_number_of_batches_and_its_padding() -> None:
    """A guard against slower batching that needs no clock: 2,000 lengths in parts, through a worker's window."""
    lengths = [int(length) for length in np.random.default_rng(5).gamma(1.5, 25, 2000).clip(3, 128)]
    batcher: Batcher[Row] = Batcher(Limits(256, 1024, 4000), lanes=2)
    batches = padded = 0
    while lengths or len(batcher):
        while lengths and len(batcher) + 256 <= 1280:
            some = [Row(length, urgent=False) for length in lengths[:256]]
            batcher.add(some, lengths[:256], 0.0)
            del lengths[:256]
        batch = batcher.next(0.0)
        batches += 1
        padded += len(batch) * max(row.length for row in batch)
    assert batches <= 86
    assert padded <= 1.05 * 76_015  # all tokens; one sort of all rows would reach 1.02
