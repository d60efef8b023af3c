"""What attention adds to scores, and how it changes queries and keys: masks, windows, relative and rotary positions.

Tables are made by NumPy when a graph is built, in float64; the graph only looks rows up. All go by the place of a token
within its row, so they are right however rows are packed.
Sizes in the comments: B rows, T tokens, A heads, D size of a head, P positions.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from bert_serving.server.engine.architectures.base import EncoderShape
from bert_serving.server.engine.tensors import Tensor, load_tensorflow

FloatArray = np.ndarray[Any, np.dtype[np.float64]]

_HIDDEN_BIAS = -10000.0  # as Google's code: hidden tokens keep an equal share if nothing else is visible
_PADDING_BIAS = -1e9  # far below the other, so that padding never takes part, even where a whole row is hidden
_FARTHEST = 128  # tokens; from there on all distances share a row of the table


class AttentionBias:
    """What each layer adds to its scores in one micro-batch."""

    def __init__(self, shape: EncoderShape, mask: Tensor, dtype: Any, relative: FloatArray | None) -> None:
        """`mask [B, T]`: see `micro_batch.MicroBatch`. `relative [R, A]`: the bias by distance, see `distance_rows`."""
        tf = load_tensorflow()
        self._dtype = dtype
        self._is_by_head = relative is not None
        self._tokens = tf.shape(mask)[1]  # (): T
        # by micro_batch.PADDING, VISIBLE, HIDDEN and PROMPT
        per_value = tf.constant([_PADDING_BIAS, 0.0, _HIDDEN_BIAS, 0.0], dtype)  # (4,)
        every = tf.gather(per_value, mask)[:, None, None, :]  # (B, 1, 1, T)
        if relative is not None:
            every += self._by_distance(relative[distance_rows(shape.positions, shape.relative)])  # (B, A, T, T)
        self._by_window: dict[int | None, Tensor] = {None: every}
        for window in {window for window in shape.windows if window is not None}:
            distances = np.abs(np.arange(1 - shape.positions, shape.positions))[:, None]  # (2P - 1, 1)
            self._by_window[window] = every + self._by_distance(np.where(distances <= window, 0.0, _PADDING_BIAS))
        self._windows = shape.windows

    def of(self, layer: int, shares: int = 1) -> list[Tensor]:
        """To be added to `[B, A, T, T]`; of each share of the heads, where these are shared out."""
        every = self._by_window[self._windows[layer] if self._windows else None]
        return load_tensorflow().split(every, shares, axis=1) if self._is_by_head else [every] * shares

    def _by_distance(self, values: FloatArray) -> Tensor:
        """Values `[2P - 1, A or 1]`, by distances from 1 - P to P - 1, where each pair of tokens has them."""
        tf = load_tensorflow()
        places = tf.range(self._tokens)  # (T,)
        rows = places[None, :] - places[:, None] + len(values) // 2  # (T, T): of key less query
        table = tf.constant(np.ascontiguousarray(values.T), self._dtype)  # (A, 2P - 1)
        return tf.gather(table, rows, axis=1)[None]  # (1, A, T, T)


def distance_rows(positions: int, rows: int) -> Any:
    """Which row of a table of so many each distance has, from 1 - P to P - 1, key less query: `[2P - 1]`.

    The first half of the table is for keys before the query, the second for those behind it. Of a half, one row
    belongs to each short distance; longer ones share the rest by their logarithm (https://arxiv.org/abs/1910.10683,
    section 2.1).
    """
    distances = np.arange(1 - positions, positions)
    half = rows // 2
    short = half // 2
    far = np.abs(distances).astype(np.float32)  # float32, as the models were trained: it decides at the borders
    scale = np.float32(np.log(_FARTHEST / short))
    shared = short + (np.log(np.maximum(far, 1) / np.float32(short)) / scale * np.float32(half - short)).astype(int)
    return np.where(distances > 0, half, 0) + np.where(far < short, far.astype(int), np.minimum(shared, half - 1))


class Rotary:
    """Turns queries and keys by their places: the dot product of two then depends on their distance alone."""

    def __init__(self, shape: EncoderShape, dtype: Any) -> None:
        self._dtype = dtype
        self._bases = shape.rotary
        self._tables = {base: rotary_tables(shape.positions, shape.head_size, base) for base in set(shape.rotary)}
        self._constants: dict[float, tuple[Tensor, Tensor]] = {}

    def turner(self, layer: int) -> Callable[[Tensor], Tensor]:
        """For a layer: takes and gives `[.., T, D]`."""
        tf = load_tensorflow()
        if not self._bases:
            return lambda x: x
        base = self._bases[layer]
        if base not in self._constants:
            cosines, sines = self._tables[base]
            self._constants[base] = tf.constant(cosines, tf.float32), tf.constant(sines, tf.float32)
        cosines, sines = self._constants[base]

        def turn(x: Tensor) -> Tensor:
            tokens, half = tf.shape(x)[-2], x.shape[-1] // 2
            exact = tf.cast(x, tf.float32)
            swapped = tf.concat([exact[..., half:], exact[..., :half]], axis=-1)
            return tf.cast(exact * cosines[:tokens] + swapped * sines[:tokens], self._dtype)

        return turn


def rotary_tables(positions: int, size: int, base: float) -> tuple[FloatArray, FloatArray]:
    """Cosines and sines `[P, D]` of https://arxiv.org/abs/2104.09864, for halves that are swapped.

    The first half of a vector gets less of the second: so the sines of that half are negative.
    """
    frequencies = base ** (-np.arange(0, size, 2) / size)  # (D / 2,)
    angles = np.arange(positions)[:, None] * frequencies  # (P, D / 2)
    cosines, sines = np.cos(angles), np.sin(angles)
    return np.concatenate([cosines, cosines], 1), np.concatenate([-sines, sines], 1)
