"""An encoder as a TensorFlow graph, built from the shape of its architecture.

Sizes in the comments: B rows, T tokens, N tokens of all rows (see `packing.py`), H hidden, A heads, D = H / A,
I intermediate. Dense layers run on [N, H]; Q, K and V are one matrix product with the scale 1 / sqrt(D) folded into Q.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from bert_serving.server.engine.architectures.base import EncoderShape
from bert_serving.server.engine.attention import AttentionBias, Rotary
from bert_serving.server.engine.attention_ops import AttentionOps, public_ops
from bert_serving.server.engine.dense_layers import DenseLayers, Int8, activation_of, joined
from bert_serving.server.engine.layer_norm import LayerNorm
from bert_serving.server.engine.packing import Packing
from bert_serving.server.engine.products import FusedProduct
from bert_serving.server.engine.tensors import Tensor, load_tensorflow
from bert_serving.server.engine.variables import Place, constant
from bert_serving.server.engine.weights import Weights

FEW_TOKENS = 80
"""oneDNN packs a float32 weight of 768 columns and more in one way for 8 to 80 tokens and in another for more. Each op
keeps the packing of its first run, and for the other number of tokens packs the weight again every time: 64 tokens take
1.2 to 1.6 times as long then, and 8 up to 4.7 times. So there may be two copies of each op over the same weights, one
for micro-batches up to this many tokens and one for larger ones; in bfloat16 for SHARES alone. The second would be 6 to
11% faster if it kept no packing, but then a row's last bits would depend on its batch's size."""

FEW, MANY = "few", "many"
"""In the names of their ops."""

SHARES = 2
"""Into so many shares the copy for small micro-batches splits its heads and the columns of its products, so that two
cores may work on one sentence. Each number is the same sum as without that, in the same order."""


@dataclass(frozen=True)
class Inputs:
    """The graph's inputs, int32 `[B, T]` each; see `micro_batch.MicroBatch`."""

    ids: Tensor
    type_ids: Tensor
    mask: Tensor


@dataclass(frozen=True)
class Pass:
    """One pass of a micro-batch through the layers: in how many shares, and no more than `depth` layers (int32 `[]`) if
    that is given."""

    packing: Packing
    bias: AttentionBias
    depth: Tensor | None
    ops: AttentionOps
    shares: int = 1


class Encoder:
    """The encoder. Matrix products run in `dtype`; LayerNorm in float32, and softmax too unless that is bfloat16."""

    def __init__(
        self,
        shape: EncoderShape,
        weights: Weights,
        layer_norm: LayerNorm,
        packing: Callable[[Tensor], Packing],
        *,
        dtype: Any,
        positions: bool = True,
        by_size: bool = False,
        product: FusedProduct | None = None,
        place: Place = constant,
        int8: Int8 | None = None,
        attention: Callable[[], AttentionOps] = public_ops,
    ) -> None:
        """`by_size`: with copies of the layers for small and for large micro-batches, see FEW_TOKENS.

        `product` makes the dense layers where it is given, and `attention` chooses what is between them in large ones;
        `place` makes a tensor of each weight. With `int8` the layers' products run in that, or in its `rest`; what is
        between them stays in `dtype`.
        """
        self._tf = load_tensorflow()
        self.shape = shape
        self.dtype = dtype
        self.dense_layers = DenseLayers(shape, weights, dtype=dtype, product=product, place=place, int8=int8)
        self._weights = weights
        self._layer_norm = layer_norm
        self._attention = attention
        self._make_packing = packing
        self._positions = positions
        self._by_size = by_size
        self._table_dtype = self._tf.bfloat16 if int8 else dtype
        """With int8, a table is half as large as in float32."""
        self._attention_dtype = self.dense_layers.attention_dtype
        self._rotary = Rotary(shape, self._attention_dtype)
        can_split = product is not None and shape.heads % SHARES == 0 and shape.intermediate % SHARES == 0
        self._shares = SHARES if can_split else 1
        """Of the copy for small micro-batches."""

    def layers(self, inputs: Inputs, count: int) -> list[Tensor]:
        """Outputs of the lowest `count` layers, float32 `[B, T, H]` each."""
        packing = self._make_packing(inputs.mask)
        return self._as_rows(packing, self._outputs("layers", inputs, packing, count))

    def listed_layers(self, inputs: Inputs, count: int, depth: Tensor | None) -> list[Tensor]:
        """The same as lists of tokens, `[N, H]` in the encoder's number type.

        With a `depth`, int32 `[]`, no more than so many layers are computed, and the outputs of others are empty.
        """
        packing = self._make_packing(inputs.mask)
        return self._outputs("views", inputs, packing, count, depth)

    def unpacked(self, mask: Tensor, layers: Sequence[Tensor]) -> list[Tensor]:
        """Listed layers as rows: `[N, H]` to float32 `[B, T, H]` each, by the mask that they were made with."""
        return self._as_rows(self._make_packing(mask), layers)

    def _as_rows(self, packing: Packing, layers: Sequence[Tensor]) -> list[Tensor]:
        return [self._tf.cast(packing.unpack(x), self._tf.float32) for x in layers]  # (B, T, H) each

    def _outputs(
        self, name: str, inputs: Inputs, packing: Packing, count: int, depth: Tensor | None = None
    ) -> list[Tensor]:
        tf = self._tf
        relative = self._weights["relative"].astype(np.float64) if self.shape.relative else None
        bias = AttentionBias(self.shape, inputs.mask, self._score_dtype, relative)
        x = self._embed(inputs, packing)  # (N, H)
        whole = Pass(packing, bias, depth, self._attention())
        if self._by_size:
            few, many = tf.raw_ops.Switch(data=x, pred=tf.size(packing.positions) > FEW_TOKENS)  # (N, H) each
            stacks = (
                self._stack(f"{name}/{FEW}", few, count, replace(whole, ops=public_ops(), shares=self._shares)),
                self._stack(f"{name}/{MANY}", many, count, whole),
            )
            return [tf.raw_ops.Merge(inputs=pair).output for pair in zip(*stacks, strict=True)]  # (N, H) each
        return self._stack(name, x, count, whole)  # (N, H) each

    @property
    def _score_dtype(self) -> Any:
        return self._tf.bfloat16 if self._attention_dtype == self._tf.bfloat16 else self._tf.float32

    def _stack(self, name: str, x: Tensor, count: int, current: Pass) -> list[Tensor]:
        tf = self._tf
        depth = current.depth
        outputs, nothing = [], x[:0]  # (0, H)
        for number in range(count):
            with tf.name_scope(f"{name}/layer_{number}"):
                if depth is not None:
                    is_wanted = depth > number
                    _, x = tf.raw_ops.Switch(data=x, pred=is_wanted)  # (N, H); what is not wanted goes no further
                x = self._layer(number, x, current)  # (N, H)
                is_normed = self.shape.norm_first and number + 1 == self.shape.layers
                output = self.norm("norm", x) if is_normed else x  # (N, H)
                if depth is not None:
                    empty, _ = tf.raw_ops.Switch(data=nothing, pred=is_wanted)  # (0, H)
                    output = tf.raw_ops.Merge(inputs=[output, empty]).output  # (N, H), or (0, H)
            outputs.append(output)
        return outputs

    def dense(self, name: str, x: Tensor, activation: str = "linear", residual: Tensor | None = None) -> Tensor:
        """A dense layer, `[.., in]` to `[.., out]`, by weights of that name; then the activation, then the residual."""
        return joined(self.dense_layers.make(name, x, activation, residual))

    def _table(self, name: str, rows: Tensor) -> Tensor:
        """Rows of an embedding table, `[N, ..]`."""
        tf = self._tf
        return tf.cast(tf.gather(self.dense_layers.constant(name, self._table_dtype), rows), self.dtype)

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
        x = self._table("embeddings/word", packing.pack(inputs.ids))  # (N, H)
        if self.shape.types:
            # a model with one type has none for the second text of a pair
            type_ids = tf.minimum(packing.pack(inputs.type_ids), self.shape.types - 1)  # (N,)
            x += self._table("embeddings/type", type_ids)  # (N, H)
        first = self.shape.first_position
        if self._positions and first is not None:
            places = packing.positions + first if first else packing.positions  # (N,)
            x += self._table("embeddings/position", places)  # (N, H)
        x = self.norm("embeddings/norm", x)  # (N, H)
        return self.dense("embeddings/projection", x) if self.shape.embedding else x  # (N, H)

    def _layer(self, number: int, x: Tensor, current: Pass) -> Tensor:
        name = self.shape.weights_of(number)
        if self.shape.norm_first:
            x = self._attend(number, self.norm(f"{name}/attention_norm", x), current, x)  # (N, H)
            return self._feed_forward(name, self.norm(f"{name}/output_norm", x), current, x)  # (N, H)
        x = self.norm(f"{name}/attention_norm", self._attend(number, x, current, x))  # (N, H)
        return self.norm(f"{name}/output_norm", self._feed_forward(name, x, current, x))  # (N, H)

    def _feed_forward(self, name: str, x: Tensor, current: Pass, residual: Tensor) -> Tensor:
        if not self.shape.gated:
            inner = joined(
                self.dense_layers.make(f"{name}/intermediate", x, self.shape.activation, shares=current.shares)
            )
        else:
            activated, gate = self._tf.split(self.dense(f"{name}/intermediate", x), 2, axis=-1)  # (N, I) each
            inner = activation_of(self.shape.activation)(activated) * gate  # (N, I)
        return joined(
            self.dense_layers.make(f"{name}/output", inner, residual=residual, shares=current.shares)
        )  # (N, H)

    def _attend(self, number: int, x: Tensor, current: Pass, residual: Tensor) -> Tensor:
        """Each share of the heads by itself, from its columns of the product for query, key and value."""
        tf = self._tf
        name = self.shape.weights_of(number)
        parts = self.dense_layers.make(f"{name}/qkv", x, shares=current.shares)  # (N, 3H) in all
        heads = self.shape.heads // len(parts)
        turn = self._rotary.turner(number)
        heads_out = []
        for qkv, bias in zip(parts, current.bias.of(number, len(parts)), strict=True):
            query, key, value = tf.unstack(current.packing.split_heads(qkv, heads), num=3)  # (B, A, T, D) each
            scores = current.ops.product(turn(query), turn(key), True)  # (B, A, T, T)
            scores = tf.cast(scores, self._score_dtype) + bias  # (B, A, T, T)
            shares = tf.cast(current.ops.softmax(scores), self._attention_dtype)  # (B, A, T, T)
            mixed = current.ops.product(shares, value, False)  # (B, A, T, D)
            heads_out.append(tf.cast(current.packing.join_heads(mixed), self.dtype))  # (N, H) in all
        whole = joined(heads_out)  # (N, H)
        return joined(
            self.dense_layers.make(f"{name}/attention", whole, residual=residual, shares=current.shares)
        )  # (N, H)
