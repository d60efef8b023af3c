"""Assembly: rows in any order, twice or failed, make the same whole."""

from __future__ import annotations

from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bert_serving.server.message.assembly import Assembly, unpack


@given(st.integers(1, 40), st.randoms(use_true_random=False), st.integers(1, 7))
def test_vectors_in_any_order_and_twice(count: int, random: Random, step: int) -> None:
    expected = np.arange(count * 3, dtype=np.float32).reshape(count, 3)
    starts = list(range(0, count, step)) * 2
    random.shuffle(starts)
    assembly = Assembly(count)
    for start in starts:
        where = range(start, min(start + step, count))
        assembly.put(where, expected[start : start + step])
    assert assembly.complete
    np.testing.assert_array_equal(assembly.result(None), expected)


def test_rows_that_are_all_there_are_taken_as_they_are_and_change_no_more() -> None:
    rows = np.arange(6, dtype=np.float32).reshape(3, 2)
    rows.flags.writeable = False  # as those in a message are
    assembly = Assembly(3)
    assembly.put(range(3), rows)
    assert assembly.result(None) is rows
    assembly.put(range(1), np.full((1, 2), 9, np.float32))
    assert assembly.complete
    assert assembly.result(None).tolist() == rows.tolist()


@given(st.permutations(range(12)))
def test_complete_only_when_the_last_row_is_there(order: list[int]) -> None:
    assembly = Assembly(12)
    for position in order:
        assert not assembly.complete
        if position % 3:
            assembly.put([position], np.full((1, 2), position, np.float16))
        else:
            assembly.fail(position, "no")
    assert assembly.complete
    assert set(assembly.failures) == {0, 3, 6, 9}
    assert assembly.result(None).dtype == np.float16


def matrices(lengths: list[int]) -> list[np.ndarray]:
    return [np.full((length, 2), length, np.float32) for length in lengths]


def test_matrices_are_padded_with_zeros() -> None:
    assembly = Assembly(3)
    assembly.put([2, 0], matrices([1, 3]))
    assembly.put([1], matrices([2]))
    padded = assembly.result(5)
    assert padded.shape == (3, 5, 2)
    assert padded[:, :, 0].tolist() == [[3, 3, 3, 0, 0], [2, 2, 0, 0, 0], [1, 0, 0, 0, 0]]
    assert assembly.result(None).shape == (3, 3, 2)


@given(st.lists(st.one_of(st.none(), st.integers(1, 6)), min_size=1, max_size=12))
def test_a_part_packed_and_unpacked_is_the_same(lengths: list[int | None]) -> None:
    part, whole = Assembly(len(lengths)), Assembly(len(lengths))
    for position, length in enumerate(lengths):
        if length is None:
            part.fail(position, "no")
        else:
            part.put([position], matrices([length]))
    array, packed_lengths = part.packed()
    if any(lengths):
        whole.put(range(len(lengths)), unpack(array, packed_lengths))
        assert whole.complete
        np.testing.assert_array_equal(whole.result(6), part.result(6))


def test_rows_outside_are_refused() -> None:
    assembly = Assembly(2)
    with pytest.raises((IndexError, ValueError)):
        assembly.put(range(1, 3), np.zeros((2, 4), np.float32))
    with pytest.raises(IndexError):
        assembly.put([2], np.zeros((1, 4), np.float32))
    assert not assembly.complete
