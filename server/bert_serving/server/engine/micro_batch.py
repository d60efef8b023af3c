"""Rows as the arrays of one micro-batch, and the shapes that these have. No TensorFlow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bert_serving.server.engine.contract import Row

IntArray = np.ndarray[Any, np.dtype[np.int32]]

PADDING, VISIBLE, HIDDEN, PROMPT = 0, 1, 2, 3
"""Values of a micro-batch's mask. HIDDEN is a special token under `-mask_cls_sep`. Of a PROMPT that is not included,
attention sees the tokens and pooling does not."""

ROW_STEP, TOKEN_STEP = 8, 16
_FEWEST_TOKENS = 16  # of a row with a fixed shape

Shape = tuple[int, int]
"""Rows and tokens of a micro-batch."""


@dataclass(frozen=True, slots=True)
class MicroBatch:
    """What one run of the graph takes: int32 arrays `[B, T]`, T being at least the length of the longest row."""

    ids: IntArray
    type_ids: IntArray
    mask: IntArray


def collate(rows: Sequence[Row], *, mask_cls_sep: bool = False, shape: Shape | None = None) -> MicroBatch:
    """The arrays of a micro-batch, padded with zeros: to the longest row's length, or to a larger `shape` `(B, T)`."""
    lengths = np.zeros(shape[0] if shape else len(rows), np.int32)  # (B,)
    lengths[: len(rows)] = [row.length for row in rows]
    firsts = np.zeros_like(lengths)
    firsts[: len(rows)] = [row.first_length for row in rows]
    positions = np.arange(shape[1] if shape else lengths.max(initial=0), dtype=np.int32)  # (T,)
    real = positions < lengths[:, None]  # (B, T)
    ids = np.zeros(real.shape, np.int32)
    ids[real] = [index for row in rows for index in row.ids]
    mask = real.astype(np.int32)
    if any(row.prompt for row in rows):
        for number, row in enumerate(rows):
            mask[number, : row.prompt] = PROMPT
    if mask_cls_sep:
        for number, row in enumerate(rows):
            mask[number, list(row.special)] = HIDDEN
    return MicroBatch(ids, (real & (positions >= firsts[:, None])).astype(np.int32), mask)


def common_shape(rows: int, tokens: int, longest: int) -> Shape:
    """A shape with some padding, at most `longest` tokens a row, so that the shapes of many batches are alike.

    oneDNN makes code for each new shape, and keeps it: with all of them a worker of a small model took twice the time
    and half as much memory again. Padding costs in attention alone. And sums over tokens are made in vectors of at
    most 16 floats: with whole ones and AVX-512, a text's numbers are the same bit by bit whatever else is in its batch.
    """
    return rows if rows <= 2 * ROW_STEP else _stepped(rows, ROW_STEP), min(longest, _stepped(tokens, TOKEN_STEP))


def fixed_shape(rows: int, tokens: int, longest: int) -> Shape:
    """A shape of powers of two, at most `longest` tokens a row: few shapes, where each costs a lot."""
    return _power_of_two(rows), max(tokens, min(longest, _power_of_two(max(tokens, _FEWEST_TOKENS))))


def _stepped(least: int, step: int) -> int:
    return -(-least // step) * step


def _power_of_two(least: int) -> int:
    return 1 << (least - 1).bit_length()
