"""Weights and inputs of products as whole numbers of 8 bits: what stands for what, and how much is lost. NumPy alone.

Each column of a kernel has a scale of its own. An input is rounded in one of two ways. By token: each token has the
scale of its largest number. Fixed: each place in a token has a scale, found on known texts, so that what follows the
product (bias, GELU) can be one op with it; places with large numbers hand some of their range over to the kernel's
rows (https://arxiv.org/abs/2211.10438).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[np.float32]]

LARGEST = 127
Plan = Mapping[str, "Array | None"]
"""By the name of a product in int8: what each place of its input is multiplied with before it is rounded, `[in]`; None
where each token has its own scale."""

_ROOM = 1.25
"""Times what known texts had in the place with the largest range: so much may come before a number is cut. Other places
have more room, the more the smaller their range is."""
_SHARE = 0.7
"""How much of a place's range the kernel's row takes over, in the logarithm. The best of four that were tried."""
_LEAST_RANGE = 1e-3
_FIXED = ("/qkv", "/intermediate")
"""Products that follow a LayerNorm: their inputs have much the same range in all texts."""


@dataclass(frozen=True)
class Quantized:
    """`kernel` int8 `[in, out]` times `scales` `[out]` is nearly a kernel of floats."""

    kernel: np.ndarray[Any, np.dtype[np.int8]]
    scales: Array


def quantized(kernel: Array, columns: Array | None = None) -> Quantized:
    """A kernel `[in, out]`, for inputs that were multiplied with `columns` `[in]`."""
    wanted = kernel if columns is None else kernel / columns[:, None]
    scales = np.maximum(np.abs(wanted).max(axis=0), np.finfo(np.float32).tiny) / np.float32(LARGEST)
    return Quantized(np.rint(wanted / scales).astype(np.int8), scales.astype(np.float32))


def plan_for(name: str, inputs: Array, kernel: Array, most_error: float) -> dict[str, Array | None]:
    """The plan of one product by inputs of known texts, `[N, in]`; empty if it loses more than `most_error`.

    That is of the outputs' length, over all of the texts.
    """
    columns = _columns(inputs, kernel) if name.endswith(_FIXED) else None
    return {name: columns} if error_of(inputs, kernel, columns) <= most_error else {}


def error_of(inputs: Array, kernel: Array, columns: Array | None) -> float:
    """How far the outputs lie from those of floats, in shares of their length."""
    exact = inputs @ kernel
    weights = quantized(kernel, columns)
    if columns is None:
        scales = np.maximum(np.abs(inputs).max(axis=1, keepdims=True), np.finfo(np.float32).tiny) / LARGEST
        found = (np.rint(inputs / scales) @ weights.kernel.astype(np.float32)) * scales * weights.scales
    else:
        rounded = np.rint(np.clip(inputs * columns, -LARGEST, LARGEST))
        found = rounded @ weights.kernel.astype(np.float32) * weights.scales
    return float(np.linalg.norm(found - exact) / max(float(np.linalg.norm(exact)), np.finfo(np.float32).tiny))


def _columns(inputs: Array, kernel: Array) -> Array:
    ranges = np.maximum(np.abs(inputs).max(axis=0), _LEAST_RANGE)
    rows = np.maximum(np.abs(kernel).max(axis=1), _LEAST_RANGE * np.abs(kernel).max() + np.finfo(np.float32).tiny)
    divisors = ranges**_SHARE / rows ** (1 - _SHARE)
    largest = (ranges / divisors).max() * _ROOM
    columns: Array = (LARGEST / largest / divisors).astype(np.float32)
    return columns
