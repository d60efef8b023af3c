"""An encoder as a TensorFlow graph over constant weights, made as the shape of its architecture says.

Sizes in the comments: B rows, T tokens, N tokens of all rows (see `packing.py`), H hidden, A heads, D = H / A,
I intermediate. Dense layers run on [N, H]; Q, K and V are one matrix product with the scale 1 / sqrt(D) folded into Q.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from bert_serving.server.engine.architectures.base import EncoderShape
from bert_serving.server.engine.layer_norm import LayerNorm
from bert_serving.server.engine.packing import Packing
from bert_serving.server.engine.tensors import Tensor, load_tensorflow
from bert_serving.server.engine.weights import Weights

_HIDDEN_BIAS = -10000.0  # as Google's code: hidden tokens keep an equal share if nothing else is visible
_PADDING_BIAS = -1e9  # far below the other, so that padding never takes part, even where a whole row is hidden

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
        self._shape = shape
        self._weights = {**weights, **_query_key_value(weights, shape)}
        self._layer_norm = layer_norm
        self._make_packing = packing
        self.dtype = dtype
        self._positions = positions
        self._by_size = by_size
        self._activation = _activation(self._tf, shape.activation)
        self._constants: dict[str, Tensor] = {}

    def layers(self, inputs: Inputs, count: int) -> list[Tensor]:
        """Outputs of the lowest `count` layers, float32 `[B, T, H]` each."""
        tf = self._tf
        packing = self._make_packing(inputs.mask, self._shape.heads)
        bias = self._attention_bias(inputs.mask)
        x = self._embed(inputs, packing)  # (N, H)
        if self._by_size:
            few, many = tf.raw_ops.Switch(data=x, pred=tf.size(packing.positions) > FEW_TOKENS)  # (N, H) each
            stacks = self._stack("few", few, count, bias, packing), self._stack("many", many, count, bias, packing)
            outputs = [tf.raw_ops.Merge(inputs=pair).output for pair in zip(*stacks, strict=True)]  # (N, H) each
        else:
            outputs = self._stack("layers", x, count, bias, packing)  # (N, H) each
        return [tf.cast(packing.unpack(output), tf.float32) for output in outputs]  # (B, T, H) each

    def _stack(self, name: str, x: Tensor, count: int, bias: Tensor, packing: Packing) -> list[Tensor]:
        outputs = []
        for number in range(count):
            with self._tf.name_scope(f"{name}/layer_{number}"):
                x = self._layer(f"layer_{number}", x, bias, packing)  # (N, H)
            outputs.append(x)
        return outputs

    def dense(self, name: str, x: Tensor) -> Tensor:
        """A dense layer: `[.., in]` to `[.., out]`, by weights of that name."""
        tf = self._tf
        product = tf.matmul(x, self._constant(f"{name}/kernel"))  # (N, out)
        return tf.nn.bias_add(product, self._constant(f"{name}/bias"))  # (N, out)

    def _constant(self, name: str) -> Tensor:
        """The weight of that name, once in the graph however many layers use it."""
        if name not in self._constants:
            self._constants[name] = self._tf.constant(self._weights[name], self.dtype, name=name.rpartition("/")[2])
        return self._constants[name]

    def _norm(self, name: str, x: Tensor) -> Tensor:
        tf = self._tf
        scale, offset = self._weights[f"{name}/scale"], self._weights[f"{name}/offset"]
        return tf.cast(self._layer_norm(tf.cast(x, tf.float32), scale, offset, self._shape.epsilon), self.dtype)

    def _attention_bias(self, mask: Tensor) -> Tensor:
        tf = self._tf
        dtype = tf.bfloat16 if self.dtype == tf.bfloat16 else tf.float32
        per_value = tf.constant([_PADDING_BIAS, 0.0, _HIDDEN_BIAS], dtype)  # by features.PADDING, VISIBLE, HIDDEN
        return tf.gather(per_value, mask)[:, None, None, :]  # (B, 1, 1, T)

    def _embed(self, inputs: Inputs, packing: Packing) -> Tensor:
        tf = self._tf
        x = tf.gather(self._constant("embeddings/word"), packing.pack(inputs.ids))  # (N, H)
        if self._shape.types:
            # a model with one type has none for the second text of a pair
            type_ids = tf.minimum(packing.pack(inputs.type_ids), self._shape.types - 1)  # (N,)
            x += tf.gather(self._constant("embeddings/type"), type_ids)  # (N, H)
        if self._positions:
            x += tf.gather(self._constant("embeddings/position"), packing.positions)  # (N, H)
        return self._norm("embeddings/norm", x)  # (N, H)

    def _layer(self, name: str, x: Tensor, bias: Tensor, packing: Packing) -> Tensor:
        attended = self.dense(f"{name}/attention", self._attend(name, x, bias, packing))  # (N, H)
        x = self._norm(f"{name}/attention_norm", attended + x)  # (N, H)
        inner = self._activation(self.dense(f"{name}/intermediate", x))  # (N, I)
        return self._norm(f"{name}/output_norm", self.dense(f"{name}/output", inner) + x)  # (N, H)

    def _attend(self, name: str, x: Tensor, bias: Tensor, packing: Packing) -> Tensor:
        tf = self._tf
        qkv = self.dense(f"{name}/qkv", x)  # (N, 3H)
        query, key, value = tf.unstack(packing.split_heads(qkv), num=3)  # (B, A, T, D) each
        scores = tf.cast(tf.matmul(query, key, transpose_b=True), bias.dtype) + bias  # (B, A, T, T)
        shares = tf.cast(tf.nn.softmax(scores), self.dtype)  # (B, A, T, T)
        return packing.join_heads(tf.matmul(shares, value))  # (N, H)


def _query_key_value(weights: Weights, shape: EncoderShape) -> Weights:
    """Query, key and value of each layer side by side, `[H, 3H]` and `[3H]`, with the scale folded into the query."""
    merged = {}
    for layer in (name.removesuffix("/query/kernel") for name in weights if name.endswith("/query/kernel")):
        parts = (("query", np.float32(shape.head_size**-0.5)), ("key", np.float32(1)), ("value", np.float32(1)))
        for kind in ("kernel", "bias"):
            sides = [weights[f"{layer}/{part}/{kind}"] * by for part, by in parts]
            merged[f"{layer}/qkv/{kind}"] = np.concatenate(sides, axis=-1)
    return merged


def _activation(tf: Any, name: str) -> Callable[[Tensor], Tensor]:
    """The function of that name, one of `architectures.base.ACTIVATIONS`."""
    table: dict[str, Callable[[Tensor], Tensor]] = {
        "gelu": lambda x: tf.nn.gelu(x, approximate=False),
        "gelu_new": lambda x: tf.nn.gelu(x, approximate=True),
        "gelu_pytorch_tanh": lambda x: tf.nn.gelu(x, approximate=True),
        "relu": tf.nn.relu,
    }
    return table[name]
