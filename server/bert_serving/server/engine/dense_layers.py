"""The dense layers of an encoder, by the names of their weights: fused, in int8 or of public ops; whole or in shares.

The encoder asks for them. Sizes in the comments: N tokens, H hidden, A heads, D = H / A, I intermediate.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from bert_serving.server.engine.architectures.base import EncoderShape
from bert_serving.server.engine.int8_products import product, rounded, rounded_by_token
from bert_serving.server.engine.products import ACTIVATIONS, BIAS, RESIDUAL, FusedProduct
from bert_serving.server.engine.quantization import Plan, quantized
from bert_serving.server.engine.tensors import Tensor, load_tensorflow
from bert_serving.server.engine.variables import Place
from bert_serving.server.engine.weights import Array, Weights


@dataclass(frozen=True)
class Int8:
    """How the products of the layers run: by `plan` in int8, those without one and attention in the type `rest`."""

    plan: Plan
    rest: Any


class DenseLayers:
    """Makes them in a graph. Each kernel is in it once, however many layers use it."""

    def __init__(
        self,
        shape: EncoderShape,
        weights: Weights,
        *,
        dtype: Any,
        product: FusedProduct | None,
        place: Place,
        int8: Int8 | None,
    ) -> None:
        """See `Encoder`."""
        self._tf = load_tensorflow()
        self._weights = weights
        self._merged = _side_by_side(weights, shape)
        self._dtype = dtype
        self._product = product
        self._place = place
        self._int8 = int8
        self.attention_dtype = int8.rest if int8 else dtype
        self._constants: dict[str, Tensor] = {}
        self._int8_kernels: dict[str, tuple[Tensor, Array]] = {}
        self.taken: dict[str, list[Tensor]] = {}
        """By their names: what they take, `[N, in]` each."""

    def make(
        self, name: str, x: Tensor, activation: str = "linear", residual: Tensor | None = None, shares: int = 1
    ) -> list[Tensor]:
        """`[.., in]` to `[.., out]`, by weights of that name; then the activation, then the residual.

        In so many shares of the columns; as one if the layer is not made of fused products.
        """
        tf = self._tf
        self.taken.setdefault(name, []).append(x)
        if self._int8 and name.startswith("layer_"):
            return [self._in_int8(self._int8.plan, name, x, activation, residual)]
        if self._product is not None and self._has(f"{name}/bias"):
            return self._fused(self._product, name, x, activation, residual, shares)
        y = tf.matmul(x, self.constant(f"{name}/kernel"))  # (N, out)
        if self._has(f"{name}/bias"):
            y = tf.nn.bias_add(y, self.constant(f"{name}/bias"))  # (N, out)
        return [_followed(y, activation, residual)]

    def array(self, name: str) -> Array:
        """The weight of that name, as a NumPy array; those that take the same input are one."""
        return self._merged[name]() if name in self._merged else self._weights[name]

    def constant(self, name: str, dtype: Any = None, *, transposed: bool = False) -> Tensor:
        """The weight of that name, in the encoder's number type unless another one is given."""
        if name not in self._constants:
            array = self.array(name)
            array = np.ascontiguousarray(array.T) if transposed else array
            self._constants[name] = self._place(name, array, dtype or self._dtype)
        return self._constants[name]

    def _has(self, name: str) -> bool:
        return name in self._weights or name in self._merged

    def _fused(
        self, make: FusedProduct, name: str, x: Tensor, activation: str, residual: Tensor | None, shares: int
    ) -> list[Tensor]:
        """Each share by one op, with what follows it as far as that can be fused."""
        columns, names = [self.constant(f"{name}/bias")], [BIAS]  # (out,)
        kernel = self.constant(f"{name}/kernel", transposed=True)  # (out, in)
        if activation in ACTIVATIONS:
            names.append(ACTIVATIONS[activation])
            activation = "linear"
        elif activation == "linear" and residual is not None:
            columns.append(residual)  # (N, out)
            names.append(RESIDUAL)
            residual = None
        pieces = zip(_split(kernel, shares, 0), *(_split(one, shares) for one in columns), strict=True)
        made = [make(x, rows, others, names) for rows, *others in pieces]  # (N, out / shares) each
        rest = [None] * shares if residual is None else _split(residual, shares)
        return [_followed(y, activation, more) for y, more in zip(made, rest, strict=True)]

    def _in_int8(self, plan: Plan, name: str, x: Tensor, activation: str, residual: Tensor | None) -> Tensor:
        """The same in int8, or if it loses too much in that, in what the rest of the products run in."""
        tf = self._tf
        dtype = self.attention_dtype if name.endswith("/qkv") else self._dtype
        bias = self.array(f"{name}/bias") if self._has(f"{name}/bias") else None  # (out,)
        if name not in plan:
            kernel = self.constant(f"{name}/kernel", self.attention_dtype)  # (in, out)
            y = tf.cast(tf.matmul(tf.cast(x, kernel.dtype), kernel), dtype)  # (N, out)
            y = y if bias is None else tf.nn.bias_add(y, tf.constant(bias, dtype))  # (N, out)
            return _followed(y, activation, residual)
        columns = plan[name]  # (in,)
        kernel, of_columns = self._int8_kernel(name, columns)  # (in, out), (out,)
        none = np.zeros_like(of_columns)
        if columns is not None:
            fused = [ACTIVATIONS[activation]] if activation in ACTIVATIONS else []
            whole = rounded(x, tf.constant(columns))  # (N, in)
            y = product(whole, kernel, of_columns, none if bias is None else bias, fused, dtype)  # (N, out)
            return _followed(y, "linear" if fused else activation, residual)
        whole, scales = rounded_by_token(x)  # (N, in), (N, 1)
        y = product(whole, kernel, of_columns, none) * scales  # (N, out)
        return _followed(y if bias is None else y + tf.constant(bias), activation, residual)  # (N, out)

    def _int8_kernel(self, name: str, columns: Array | None) -> tuple[Tensor, Array]:
        """The kernel and its scales, for inputs multiplied with `columns`; made once for all that use it."""
        if name not in self._int8_kernels:
            weights = quantized(self.array(f"{name}/kernel"), columns)
            self._int8_kernels[name] = self._place(f"{name}/int8", weights.kernel, self._tf.int8), weights.scales
        return self._int8_kernels[name]


def activation_of(name: str) -> Callable[[Tensor], Tensor]:
    """The function of that name, one of `architectures.base.ACTIVATIONS`."""
    tf = load_tensorflow()
    exact, nearly = partial(tf.nn.gelu, approximate=False), partial(tf.nn.gelu, approximate=True)
    table: dict[str, Callable[[Tensor], Tensor]] = {
        "gelu": exact, "gelu_python": exact,
        "gelu_new": nearly, "gelu_fast": nearly, "gelu_pytorch_tanh": nearly,
        "relu": tf.nn.relu, "silu": tf.nn.silu, "swish": tf.nn.silu, "tanh": tf.tanh,
        "linear": tf.identity, "sigmoid": tf.sigmoid,
    }  # fmt: skip
    return table[name]


def _followed(y: Tensor, activation: str, residual: Tensor | None) -> Tensor:
    y = y if activation == "linear" else activation_of(activation)(y)
    return y if residual is None else y + residual


def joined(shares: list[Tensor]) -> Tensor:
    """Shares of columns as one, `[.., out]`."""
    return shares[0] if len(shares) == 1 else load_tensorflow().concat(shares, axis=-1)


def _split(x: Tensor, shares: int, axis: int = -1) -> list[Tensor]:
    return [x] if shares == 1 else list(load_tensorflow().split(x, shares, axis))


def _side_by_side(weights: Weights, shape: EncoderShape) -> dict[str, Callable[[], Array]]:
    """Kernels (and biases) that take the same input as one: `[H, A * 3 * D]` of query, key, value, `[H, 2I]` of a gate.

    The scale of the scores is folded into the query. Each is made when it is asked for, so they are not all in memory.
    """
    scaled = (("query", np.float32(shape.head_size**-0.5)), ("key", np.float32(1)), ("value", np.float32(1)))

    def qkv(layer: str, kind: str) -> Array:
        """`[.., A * 3 * D]`: those of a head are neighbours, so that heads can be shared out."""
        parts = [weights[f"{layer}/{part}/{kind}"] * by for part, by in scaled]
        by_head = [part.reshape(*part.shape[:-1], shape.heads, shape.head_size) for part in parts]
        return np.stack(by_head, axis=-2).reshape(*parts[0].shape[:-1], -1)

    def gated(layer: str) -> Array:
        return np.concatenate([weights[f"{layer}/{part}/kernel"] for part in ("activated", "gate")], axis=-1)

    merged: dict[str, Callable[[], Array]] = {}
    for layer in (name.removesuffix("/query/kernel") for name in weights if name.endswith("/query/kernel")):
        for kind in ("kernel", "bias") if f"{layer}/query/bias" in weights else ("kernel",):
            merged[f"{layer}/qkv/{kind}"] = partial(qkv, layer, kind)
        if shape.gated:
            merged[f"{layer}/intermediate/kernel"] = partial(gated, layer)
    return merged
