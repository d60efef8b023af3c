"""From the vectors of a text's tokens to one vector: a table of strategies, one function each.

Sizes in the comments: B rows, T tokens, H hidden, W width of all pooled layers together, L labels.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from bert_serving.server.config import PoolingStrategy
from bert_serving.server.engine.bert import Bert
from bert_serving.server.engine.features import PADDING, VISIBLE
from bert_serving.server.engine.tensors import Tensor, load_tensorflow
from bert_serving.server.engine.weights import Weights

_LOWEST = -1e30  # below every vector's number: what is hidden never is the maximum
_TINY = 1e-10  # as 1.10: no division by zero where all is hidden
_LEAST_SQUARE = 1e-12  # as tf.math.l2_normalize: a vector of zeros stays one


@dataclass(frozen=True)
class EncoderOutput:
    """What a strategy may look at.

    `tokens` holds the pooled layers side by side, `top` the last layer of all; both float32.
    """

    tokens: Tensor  # (B, T, W)
    top: Tensor  # (B, T, H)
    mask: Tensor  # (B, T), see features.MicroBatch
    bert: Bert
    weights: Weights

    @property
    def visible(self) -> Tensor:
        """1.0 for tokens that count, 0.0 for padding and hidden ones: `[B, T, 1]`."""
        tf = load_tensorflow()
        return tf.cast(tf.equal(self.mask, VISIBLE), tf.float32)[:, :, None]

    @property
    def lengths(self) -> Tensor:
        """Number of tokens of each row, hidden ones included: int32 `[B]`."""
        tf = load_tensorflow()
        return tf.reduce_sum(tf.cast(tf.not_equal(self.mask, PADDING), tf.int32), axis=1)


def pool(strategy: PoolingStrategy, encoded: EncoderOutput, *, normalize: bool = False) -> Tensor:
    """The result of the strategy, float32: `[B, ..]`, or `[B, T, W]` with NONE."""
    tf = load_tensorflow()
    pooled = _STRATEGIES[strategy](encoded)
    if not normalize:
        return pooled
    # no division by a root: TensorFlow makes rsqrt of that, which rounds by where in the batch a row stands
    squared = tf.reduce_sum(tf.square(pooled), axis=-1, keepdims=True)  # (B, 1), or (B, T, 1)
    return pooled * tf.sqrt(1.0 / tf.maximum(squared, _LEAST_SQUARE))


def _none(encoded: EncoderOutput) -> Tensor:
    return encoded.tokens * encoded.visible  # (B, T, W)


def _mean(encoded: EncoderOutput) -> Tensor:
    tf = load_tensorflow()
    total = tf.reduce_sum(encoded.tokens * encoded.visible, axis=1)  # (B, W)
    return total / (tf.reduce_sum(encoded.visible, axis=1) + _TINY)  # (B, W)


def _max(encoded: EncoderOutput) -> Tensor:
    tf = load_tensorflow()
    seen = encoded.visible > 0  # (B, T, 1)
    most = tf.reduce_max(tf.where(seen, encoded.tokens, _LOWEST), axis=1)  # (B, W)
    return tf.where(tf.reduce_any(seen, axis=1), most, 0.0)  # (B, W); zeros for a row that is all hidden, as the mean


def _mean_max(encoded: EncoderOutput) -> Tensor:
    return load_tensorflow().concat([_mean(encoded), _max(encoded)], axis=-1)  # (B, 2W)


def _first(encoded: EncoderOutput) -> Tensor:
    return encoded.tokens[:, 0]  # (B, W)


def _last(encoded: EncoderOutput) -> Tensor:
    tf = load_tensorflow()
    # a row of padding alone, which fixed shapes bring, has no last token
    return tf.gather(encoded.tokens, tf.maximum(encoded.lengths - 1, 0), batch_dims=1)  # (B, W)


def _cls_pooled(encoded: EncoderOutput) -> Tensor:
    tf = load_tensorflow()
    first = tf.cast(encoded.top[:, 0], encoded.bert.dtype)  # (B, H)
    return tf.tanh(tf.cast(encoded.bert.dense("pooler", first), tf.float32))  # (B, H)


def _logits(encoded: EncoderOutput) -> Tensor:
    tf = load_tensorflow()
    kernel, bias = encoded.weights["head/kernel"], encoded.weights["head/bias"]  # (L, H), (L,)
    return tf.matmul(_cls_pooled(encoded), tf.constant(kernel), transpose_b=True) + tf.constant(bias)  # (B, L)


def _classification(encoded: EncoderOutput) -> Tensor:
    return load_tensorflow().nn.softmax(_logits(encoded))  # (B, L)


def _regression(encoded: EncoderOutput) -> Tensor:
    return load_tensorflow().sigmoid(_logits(encoded))  # (B, 1)


_STRATEGIES: dict[PoolingStrategy, Callable[[EncoderOutput], Tensor]] = {
    PoolingStrategy.NONE: _none,
    PoolingStrategy.REDUCE_MEAN: _mean,
    PoolingStrategy.REDUCE_MAX: _max,
    PoolingStrategy.REDUCE_MEAN_MAX: _mean_max,
    PoolingStrategy.FIRST_TOKEN: _first,
    PoolingStrategy.LAST_TOKEN: _last,
    PoolingStrategy.CLS_POOLED: _cls_pooled,
    PoolingStrategy.CLASSIFICATION: _classification,
    PoolingStrategy.REGRESSION: _regression,
}
