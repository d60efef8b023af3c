"""BERT's encoder as a TensorFlow graph over constant weights.

Sizes in the comments: B rows, T tokens, H hidden, A heads, D = H / A, I intermediate; N = B * T.
Dense layers run on [N, H], and Q, K and V are one matrix product with the scale 1 / sqrt(D) folded into Q.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from bert_serving.server.engine.layer_norm import LayerNorm
from bert_serving.server.engine.model_folder import BertShape
from bert_serving.server.engine.tensors import Tensor, load_tensorflow
from bert_serving.server.engine.weights import Weights

_HIDDEN_BIAS = -10000.0  # as Google's code: hidden tokens keep an equal share if nothing else is visible
_PADDING_BIAS = -1e9  # far below the other, so that padding never takes part, even where a whole row is hidden


@dataclass(frozen=True)
class Inputs:
    """The graph's inputs, int32 `[B, T]` each; see `features.MicroBatch`."""

    ids: Tensor
    type_ids: Tensor
    mask: Tensor


class Bert:
    """The encoder. Matrix products run in `dtype`; LayerNorm and softmax in float32."""

    def __init__(
        self, shape: BertShape, weights: Weights, layer_norm: LayerNorm, *, dtype: Any, positions: bool = True
    ) -> None:
        self._tf = load_tensorflow()
        self._shape = shape
        self._weights = weights
        self._layer_norm = layer_norm
        self.dtype = dtype
        self._positions = positions
        self._activation = _activation(self._tf, shape.activation)

    def layers(self, inputs: Inputs, count: int) -> list[Tensor]:
        """Outputs of the lowest `count` layers, float32 `[B, T, H]` each."""
        tf = self._tf
        size = tf.shape(inputs.ids)  # (2,): B, T
        bias = self._attention_bias(inputs.mask)
        x = self._embed(inputs, size)  # (N, H)
        outputs = []
        for number in range(count):
            with tf.name_scope(f"layer_{number}"):
                x = self._layer(f"layer_{number}", x, bias, size)  # (N, H)
            outputs.append(x)
        full = tf.stack([size[0], size[1], self._shape.hidden])
        return [tf.cast(tf.reshape(output, full), tf.float32) for output in outputs]  # (B, T, H) each

    def dense(self, name: str, x: Tensor) -> Tensor:
        """A dense layer: `[.., in]` to `[.., out]`, by weights of that name."""
        return self._affine(name, x, self._weights[f"{name}/kernel"], self._weights[f"{name}/bias"])

    def _affine(self, name: str, x: Tensor, kernel: Any, bias: Any) -> Tensor:
        tf = self._tf
        product = tf.matmul(x, self._constant(f"{name}/kernel", kernel))  # (N, out)
        return tf.nn.bias_add(product, self._constant(f"{name}/bias", bias))  # (N, out)

    def _constant(self, name: str, value: Any) -> Tensor:
        return self._tf.constant(value, self.dtype, name=name.rpartition("/")[2])

    def _norm(self, name: str, x: Tensor) -> Tensor:
        tf = self._tf
        scale, offset = self._weights[f"{name}/scale"], self._weights[f"{name}/offset"]
        return tf.cast(self._layer_norm(tf.cast(x, tf.float32), scale, offset, self._shape.epsilon), self.dtype)

    def _attention_bias(self, mask: Tensor) -> Tensor:
        tf = self._tf
        per_value = tf.constant([_PADDING_BIAS, 0.0, _HIDDEN_BIAS], tf.float32)  # by features.PADDING, VISIBLE, HIDDEN
        return tf.gather(per_value, mask)[:, None, None, :]  # (B, 1, 1, T)

    def _embed(self, inputs: Inputs, size: Tensor) -> Tensor:
        tf, tables = self._tf, self._weights
        x = tf.gather(self._constant("word", tables["embeddings/word"]), inputs.ids)  # (B, T, H)
        # a model with one type has none for the second text of a pair
        type_ids = tf.minimum(inputs.type_ids, self._shape.types - 1)  # (B, T)
        x += tf.gather(self._constant("type", tables["embeddings/type"]), type_ids)  # (B, T, H)
        if self._positions:
            x += self._constant("position", tables["embeddings/position"])[: size[1]]  # (T, H) onto (B, T, H)
        return self._norm("embeddings/norm", tf.reshape(x, [-1, self._shape.hidden]))  # (N, H)

    def _layer(self, name: str, x: Tensor, bias: Tensor, size: Tensor) -> Tensor:
        attended = self.dense(f"{name}/attention", self._attend(name, x, bias, size))  # (N, H)
        x = self._norm(f"{name}/attention_norm", attended + x)  # (N, H)
        inner = self._activation(self.dense(f"{name}/intermediate", x))  # (N, I)
        return self._norm(f"{name}/output_norm", self.dense(f"{name}/output", inner) + x)  # (N, H)

    def _attend(self, name: str, x: Tensor, bias: Tensor, size: Tensor) -> Tensor:
        tf, heads, head_size = self._tf, self._shape.heads, self._shape.head_size
        qkv = self._affine(f"{name}/qkv", x, *self._query_key_value(name))  # (N, 3H)
        qkv = tf.reshape(qkv, tf.stack([size[0], size[1], 3, heads, head_size]))  # (B, T, 3, A, D)
        query, key, value = tf.unstack(tf.transpose(qkv, [2, 0, 3, 1, 4]), num=3)  # (B, A, T, D) each
        scores = tf.cast(tf.matmul(query, key, transpose_b=True), tf.float32) + bias  # (B, A, T, T)
        shares = tf.cast(tf.nn.softmax(scores), self.dtype)  # (B, A, T, T)
        mixed = tf.transpose(tf.matmul(shares, value), [0, 2, 1, 3])  # (B, T, A, D)
        return tf.reshape(mixed, [-1, self._shape.hidden])  # (N, H)

    def _query_key_value(self, name: str) -> tuple[Any, Any]:
        scale = np.float32(self._shape.head_size**-0.5)
        parts = [(f"{name}/query", scale), (f"{name}/key", np.float32(1)), (f"{name}/value", np.float32(1))]
        kernel = np.concatenate([self._weights[f"{part}/kernel"] * by for part, by in parts], axis=1)  # (H, 3H)
        bias = np.concatenate([self._weights[f"{part}/bias"] * by for part, by in parts])  # (3H,)
        return kernel, bias


def _activation(tf: Any, name: str) -> Callable[[Tensor], Tensor]:
    """The function of that name, one of `model_folder.ACTIVATIONS`."""
    table: dict[str, Callable[[Tensor], Tensor]] = {
        "gelu": lambda x: tf.nn.gelu(x, approximate=False),
        "gelu_new": lambda x: tf.nn.gelu(x, approximate=True),
        "gelu_pytorch_tanh": lambda x: tf.nn.gelu(x, approximate=True),
        "relu": tf.nn.relu,
    }
    return table[name]
