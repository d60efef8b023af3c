"""An encoder as a TensorFlow graph over constant weights, made as the shape of its architecture says.

Sizes in the comments: B rows, T tokens, N tokens of all rows (see `packing.py`), H hidden, A heads, D = H / A,
I intermediate. Dense layers run on [N, H]; Q, K and V are one matrix product with the scale 1 / sqrt(D) folded into Q.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from bert_serving.server.engine.architectures.base import EncoderShape
from bert_serving.server.engine.attention import AttentionBias, Rotary
from bert_serving.server.engine.layer_norm import LayerNorm
from bert_serving.server.engine.packing import Packing
from bert_serving.server.engine.tensors import Tensor, load_tensorflow
from bert_serving.server.engine.weights import Weights

FEW_TOKENS = 80
"""oneDNN packs a float32 weight in one way for some 8 to 64 tokens and in another for more than some 90. Each op keeps
the packing of its first run, and for the other number of tokens packs the weight anew every time. So there may be two
copies of each op over the same weights, one for micro-batches up to this many tokens and one for larger ones."""


@dataclass(frozen=True)
class Inputs:
    """The graph's inputs, int32 `[B, T]` each; see `features.MicroBatch`."""

    ids: Tensor
    type_ids: Tensor
    mask: Tensor


class Encoder:
    """The encoder. Matrix products run in `dtype`; LayerNorm in float32, and softmax too unless that is bfloat16."""

    def __init__(
        self,
        shape: EncoderShape,
        weights: Weights,
        layer_norm: LayerNorm,
        packing: Callable[[Tensor, int], Packing],
        *,
        dtype: Any,
        positions: bool = True,
        by_size: bool = False,
    ) -> None:
        """`by_size`: with copies of the layers for small and for large micro-batches, see FEW_TOKENS."""
        self._tf = load_tensorflow()
        self.shape = shape
        self._weights = {**weights, **_side_by_side(weights, shape)}
        self._layer_norm = layer_norm
        self._make_packing = packing
        self.dtype = dtype
        self._positions = positions
        self._by_size = by_size
        self._activation = self.activation(shape.activation)
        self._rotary = Rotary(shape, dtype)
        self._constants: dict[str, Tensor] = {}

    def layers(self, inputs: Inputs, count: int) -> list[Tensor]:
        """Outputs of the lowest `count` layers, float32 `[B, T, H]` each."""
        tf = self._tf
        packing = self._make_packing(inputs.mask, self.shape.heads)
        relative = self._weights["relative"].astype(np.float64) if self.shape.relative else None
        bias = AttentionBias(self.shape, inputs.mask, self._score_dtype, relative)
        x = self._embed(inputs, packing)  # (N, H)
        if self._by_size:
            few, many = tf.raw_ops.Switch(data=x, pred=tf.size(packing.positions) > FEW_TOKENS)  # (N, H) each
            stacks = self._stack("few", few, count, bias, packing), self._stack("many", many, count, bias, packing)
            outputs = [tf.raw_ops.Merge(inputs=pair).output for pair in zip(*stacks, strict=True)]  # (N, H) each
        else:
            outputs = self._stack("layers", x, count, bias, packing)  # (N, H) each
        return [tf.cast(packing.unpack(output), tf.float32) for output in outputs]  # (B, T, H) each

    @property
    def _score_dtype(self) -> Any:
        return self._tf.bfloat16 if self.dtype == self._tf.bfloat16 else self._tf.float32

    def _stack(self, name: str, x: Tensor, count: int, bias: AttentionBias, packing: Packing) -> list[Tensor]:
        outputs = []
        for number in range(count):
            with self._tf.name_scope(f"{name}/layer_{number}"):
                x = self._layer(number, x, bias, packing)  # (N, H)
            outputs.append(x)
        if self.shape.norm_first and count == self.shape.layers:
            outputs[-1] = self.norm("norm", x)  # (N, H)
        return outputs

    def dense(self, name: str, x: Tensor) -> Tensor:
        """A dense layer: `[.., in]` to `[.., out]`, by weights of that name."""
        tf = self._tf
        product = tf.matmul(x, self._constant(f"{name}/kernel"))  # (N, out)
        if f"{name}/bias" not in self._weights:
            return product
        return tf.nn.bias_add(product, self._constant(f"{name}/bias"))  # (N, out)

    def _constant(self, name: str) -> Tensor:
        """The weight of that name, once in the graph however many layers use it."""
        if name not in self._constants:
            self._constants[name] = self._tf.constant(self._weights[name], self.dtype, name=name.rpartition("/")[2])
        return self._constants[name]

    def norm(self, name: str, x: Tensor) -> Tensor:
        """LayerNorm of the last axis, by weights of that name; an architecture may have none there."""
        tf = self._tf
        scale = self._weights.get(f"{name}/scale")
        if scale is None:
            return x
        offset = self._weights.get(f"{name}/offset", np.zeros_like(scale))
        return tf.cast(self._layer_norm(tf.cast(x, tf.float32), scale, offset, self.shape.epsilon), self.dtype)

    def _embed(self, inputs: Inputs, packing: Packing) -> Tensor:
        tf = self._tf
        x = tf.gather(self._constant("embeddings/word"), packing.pack(inputs.ids))  # (N, H)
        if self.shape.types:
            # a model with one type has none for the second text of a pair
            type_ids = tf.minimum(packing.pack(inputs.type_ids), self.shape.types - 1)  # (N,)
            x += tf.gather(self._constant("embeddings/type"), type_ids)  # (N, H)
        first = self.shape.first_position
        if self._positions and first is not None:
            places = packing.positions + first if first else packing.positions  # (N,)
            x += tf.gather(self._constant("embeddings/position"), places)  # (N, H)
        x = self.norm("embeddings/norm", x)  # (N, H)
        return self.dense("embeddings/projection", x) if self.shape.embedding else x  # (N, H)

    def _layer(self, number: int, x: Tensor, bias: AttentionBias, packing: Packing) -> Tensor:
        name = self.shape.weights_of(number)
        if self.shape.norm_first:
            x += self._attend(number, self.norm(f"{name}/attention_norm", x), bias, packing)  # (N, H)
            return x + self._feed_forward(name, self.norm(f"{name}/output_norm", x))  # (N, H)
        x = self.norm(f"{name}/attention_norm", self._attend(number, x, bias, packing) + x)  # (N, H)
        return self.norm(f"{name}/output_norm", self._feed_forward(name, x) + x)  # (N, H)

    def _feed_forward(self, name: str, x: Tensor) -> Tensor:
        inner = self.dense(f"{name}/intermediate", x)  # (N, I), or (N, 2I)
        if not self.shape.gated:
            return self.dense(f"{name}/output", self._activation(inner))  # (N, H)
        activated, gate = self._tf.split(inner, 2, axis=-1)  # (N, I) each
        return self.dense(f"{name}/output", self._activation(activated) * gate)  # (N, H)

    def _attend(self, number: int, x: Tensor, bias: AttentionBias, packing: Packing) -> Tensor:
        tf = self._tf
        name = self.shape.weights_of(number)
        qkv = self.dense(f"{name}/qkv", x)  # (N, 3H)
        query, key, value = tf.unstack(packing.split_heads(qkv), num=3)  # (B, A, T, D) each
        turn = self._rotary.turner(number)
        scores = tf.matmul(turn(query), turn(key), transpose_b=True)  # (B, A, T, T)
        scores = tf.cast(scores, self._score_dtype) + bias.of(number)  # (B, A, T, T)
        shares = tf.cast(tf.nn.softmax(scores), self.dtype)  # (B, A, T, T)
        return self.dense(f"{name}/attention", packing.join_heads(tf.matmul(shares, value)))  # (N, H)

    def activation(self, name: str) -> Callable[[Tensor], Tensor]:
        """The function of that name, one of `architectures.base.ACTIVATIONS`."""
        tf = self._tf
        exact, nearly = partial(tf.nn.gelu, approximate=False), partial(tf.nn.gelu, approximate=True)
        table: dict[str, Callable[[Tensor], Tensor]] = {
            "gelu": exact, "gelu_python": exact,
            "gelu_new": nearly, "gelu_fast": nearly, "gelu_pytorch_tanh": nearly,
            "relu": tf.nn.relu, "silu": tf.nn.silu, "swish": tf.nn.silu, "tanh": tf.tanh,
            "linear": tf.identity, "sigmoid": tf.sigmoid,
        }  # fmt: skip
        return table[name]


def _side_by_side(weights: Weights, shape: EncoderShape) -> Weights:
    """Kernels (and biases) that take the same input, as one: `[H, 3H]` of query, key and value, `[H, 2I]` of a gate.

    The scale of the scores is folded into the query.
    """
    merged = {}
    for layer in (name.removesuffix("/query/kernel") for name in weights if name.endswith("/query/kernel")):
        parts = (("query", np.float32(shape.head_size**-0.5)), ("key", np.float32(1)), ("value", np.float32(1)))
        for kind in ("kernel", "bias") if f"{layer}/query/bias" in weights else ("kernel",):
            sides = [weights[f"{layer}/{part}/{kind}"] * by for part, by in parts]
            merged[f"{layer}/qkv/{kind}"] = np.concatenate(sides, axis=-1)
        if shape.gated:
            sides = [weights[f"{layer}/{part}/kernel"] for part in ("activated", "gate")]
            merged[f"{layer}/intermediate/kernel"] = np.concatenate(sides, axis=-1)
    return merged
