"""From the vectors of a text's tokens to one vector: a table of strategies, with what each needs of the model.

Sizes in the comments: B rows, T tokens, H hidden, W width of all pooled layers together, L labels.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto

from bert_serving.server.config import PoolingStrategy, ServerConfig
from bert_serving.server.engine.architectures.base import DenseShape, EncoderShape, Extent
from bert_serving.server.engine.encoder import Encoder
from bert_serving.server.engine.features import PADDING, PROMPT, VISIBLE
from bert_serving.server.engine.tensors import Tensor, load_tensorflow
from bert_serving.server.engine.weights import Weights

_LOWEST = -1e30  # below every vector's number: what is hidden never is the maximum
_TINY = 1e-10  # as 1.10: no division by zero where all is hidden
_LEAST_SQUARE = 1e-12  # as tf.math.l2_normalize: a vector of zeros stays one


@dataclass(frozen=True)
class EncoderOutput:
    """What a strategy may look at.

    `tokens` holds the pooled layers side by side, `top` the last layer of all; both float32. Without `include_prompt`
    some of a row's first tokens may be PROMPT.
    """

    tokens: Tensor  # (B, T, W)
    top: Tensor  # (B, T, H)
    mask: Tensor  # (B, T), see features.MicroBatch
    encoder: Encoder
    weights: Weights
    include_prompt: bool = True

    @property
    def visible(self) -> Tensor:
        """1.0 for tokens that count, 0.0 for padding, hidden ones and a prompt that is not included: `[B, T, 1]`."""
        tf = load_tensorflow()
        return tf.cast(tf.equal(self.mask, VISIBLE), tf.float32)[:, :, None]

    @property
    def lengths(self) -> Tensor:
        """Number of tokens of each row, hidden ones included: int32 `[B]`."""
        tf = load_tensorflow()
        return tf.reduce_sum(tf.cast(tf.not_equal(self.mask, PADDING), tf.int32), axis=1)


def pool(config: ServerConfig, encoded: EncoderOutput) -> Tensor:
    """What the options ask for, float32: vectors `[B, ..]`, or `[B, T, W]` with NONE."""
    tf = load_tensorflow()
    parts = [STRATEGIES[strategy].function(encoded) for strategy in config.poolings]  # (B, ..) each
    pooled = parts[0] if len(parts) == 1 else tf.concat(parts, axis=-1)
    encoder = encoded.encoder
    for number, dense in enumerate(dense_after(config, encoder.shape)):
        x = tf.cast(_scaled(pooled) if dense.normalized else pooled, encoder.dtype)  # (B, in)
        x = tf.cast(encoder.dense(f"dense_{number}", x), tf.float32)  # (B, out)
        pooled = encoder.activation(dense.activation)(x)
    return _scaled(pooled) if config.normalize else pooled


def dense_after(config: ServerConfig, shape: EncoderShape) -> tuple[DenseShape, ...]:
    """The dense layers that follow. They are meant for a text's vector, not for those of tokens or for labels."""
    strategy = config.pooling_strategy
    is_vector = strategy is not PoolingStrategy.NONE and STRATEGIES[strategy].needs is not Needs.HEAD
    return shape.dense if is_vector else ()


def _scaled(pooled: Tensor) -> Tensor:
    """Vectors of length 1."""
    tf = load_tensorflow()
    # no division by a root: TensorFlow makes rsqrt of that, which rounds by where in the batch a row stands
    squared = tf.reduce_sum(tf.square(pooled), axis=-1, keepdims=True)  # (B, 1), or (B, T, 1)
    return pooled * tf.sqrt(1.0 / tf.maximum(squared, _LEAST_SQUARE))


def _none(encoded: EncoderOutput) -> Tensor:
    if encoded.include_prompt:
        return encoded.tokens * encoded.visible  # (B, T, W)
    tf = load_tensorflow()
    shown = tf.logical_or(tf.equal(encoded.mask, VISIBLE), tf.equal(encoded.mask, PROMPT))  # (B, T)
    return encoded.tokens * tf.cast(shown, tf.float32)[:, :, None]  # (B, T, W)


def _mean(encoded: EncoderOutput) -> Tensor:
    tf = load_tensorflow()
    total = tf.reduce_sum(encoded.tokens * encoded.visible, axis=1)  # (B, W)
    return total / (tf.reduce_sum(encoded.visible, axis=1) + _TINY)  # (B, W)


def _mean_sqrt(encoded: EncoderOutput) -> Tensor:
    tf = load_tensorflow()
    total = tf.reduce_sum(encoded.tokens * encoded.visible, axis=1)  # (B, W)
    return total / tf.sqrt(tf.reduce_sum(encoded.visible, axis=1) + _TINY)  # (B, W)


def _weighted_mean(encoded: EncoderOutput) -> Tensor:
    tf = load_tensorflow()
    places = tf.range(1, tf.shape(encoded.mask)[1] + 1)  # (T,): from 1 on, hidden tokens counted
    weights = encoded.visible * tf.cast(places, tf.float32)[None, :, None]  # (B, T, 1)
    total = tf.reduce_sum(encoded.tokens * weights, axis=1)  # (B, W)
    return total / (tf.reduce_sum(weights, axis=1) + _TINY)  # (B, W)


def _max(encoded: EncoderOutput) -> Tensor:
    tf = load_tensorflow()
    seen = encoded.visible > 0  # (B, T, 1)
    most = tf.reduce_max(tf.where(seen, encoded.tokens, _LOWEST), axis=1)  # (B, W)
    return tf.where(tf.reduce_any(seen, axis=1), most, 0.0)  # (B, W); zeros for a row that is all hidden, as the mean


def _mean_max(encoded: EncoderOutput) -> Tensor:
    return load_tensorflow().concat([_mean(encoded), _max(encoded)], axis=-1)  # (B, 2W)


def _first(encoded: EncoderOutput) -> Tensor:
    if encoded.include_prompt:
        return encoded.tokens[:, 0]  # (B, W)
    tf = load_tensorflow()
    places = tf.range(1, tf.shape(encoded.mask)[1] + 1)  # (T,): of the token after each
    # behind the prompt, which may be left out
    firsts = tf.reduce_max(tf.where(tf.equal(encoded.mask, PROMPT), places, 0), axis=1)  # (B,)
    return tf.gather(encoded.tokens, firsts, batch_dims=1)  # (B, W)


def _last(encoded: EncoderOutput) -> Tensor:
    tf = load_tensorflow()
    # a row of padding alone, which fixed shapes bring, has no last token
    return tf.gather(encoded.tokens, tf.maximum(encoded.lengths - 1, 0), batch_dims=1)  # (B, W)


def _cls_pooled(encoded: EncoderOutput) -> Tensor:
    tf = load_tensorflow()
    first = tf.cast(encoded.top[:, 0], encoded.encoder.dtype)  # (B, H)
    return tf.tanh(tf.cast(encoded.encoder.dense("pooler", first), tf.float32))  # (B, H)


def _logits(encoded: EncoderOutput) -> Tensor:
    tf = load_tensorflow()
    encoder, head = encoded.encoder, encoded.encoder.shape.head
    x = tf.cast(_mean_of_all(encoded) if head.of_mean else encoded.top[:, 0], encoder.dtype)  # (B, H)
    x = encoder.activation(head.activation)(tf.cast(encoder.dense(head.dense, x), tf.float32))  # (B, H)
    if head.norm:
        x = tf.cast(encoder.norm("head/norm", x), tf.float32)  # (B, H)
    kernel, bias = encoded.weights["head/kernel"], encoded.weights["head/bias"]  # (L, H), (L,)
    return tf.matmul(x, tf.constant(kernel), transpose_b=True) + tf.constant(bias)  # (B, L)


def _mean_of_all(encoded: EncoderOutput) -> Tensor:
    """Of the last layer, hidden tokens too: what pools for a classifier knows of none."""
    tf = load_tensorflow()
    real = tf.cast(tf.not_equal(encoded.mask, PADDING), tf.float32)[:, :, None]  # (B, T, 1)
    return tf.reduce_sum(encoded.top * real, axis=1) / (tf.reduce_sum(real, axis=1) + _TINY)  # (B, H)


def _classification(encoded: EncoderOutput) -> Tensor:
    tf = load_tensorflow()
    logits = _logits(encoded)
    return tf.sigmoid(logits) if encoded.encoder.shape.head.is_multi_label else tf.nn.softmax(logits)  # (B, L)


def _regression(encoded: EncoderOutput) -> Tensor:
    logits = _logits(encoded)
    return logits if encoded.encoder.shape.head.score == "identity" else load_tensorflow().sigmoid(logits)  # (B, 1)


class Needs(Enum):
    """What a strategy is computed from."""

    TOKENS = auto()
    """The token vectors of the pooled layers."""
    POOLER = auto()
    """The pooler on the last layer."""
    HEAD = auto()
    """A classifier's head on the last layer."""


@dataclass(frozen=True)
class Strategy:
    """One row of the table.

    A vector is `widths` times as wide as the pooled layers; from a head it has `labels` numbers, None for as many as
    `-num_labels` says.
    """

    function: Callable[[EncoderOutput], Tensor]
    needs: Needs = Needs.TOKENS
    widths: int = 1
    labels: int | None = None


STRATEGIES = {
    PoolingStrategy.NONE: Strategy(_none),
    PoolingStrategy.REDUCE_MEAN: Strategy(_mean),
    PoolingStrategy.REDUCE_MAX: Strategy(_max),
    PoolingStrategy.REDUCE_MEAN_MAX: Strategy(_mean_max, widths=2),
    PoolingStrategy.FIRST_TOKEN: Strategy(_first),
    PoolingStrategy.LAST_TOKEN: Strategy(_last),
    PoolingStrategy.CLS_POOLED: Strategy(_cls_pooled, Needs.POOLER),
    PoolingStrategy.CLASSIFICATION: Strategy(_classification, Needs.HEAD),
    PoolingStrategy.REGRESSION: Strategy(_regression, Needs.HEAD, labels=1),
    PoolingStrategy.LOGITS: Strategy(_logits, Needs.HEAD),
    PoolingStrategy.REDUCE_MEAN_SQRT: Strategy(_mean_sqrt),
    PoolingStrategy.WEIGHTED_MEAN: Strategy(_weighted_mean),
}


def extent_of(config: ServerConfig, shape: EncoderShape) -> Extent:
    """How much of the model the options need: the highest layer asked for, or all under a pooler."""
    strategy = STRATEGIES[config.pooling_strategy]
    if strategy.needs is Needs.TOKENS:
        return Extent(shape.layers + 1 + max(config.pooling_layer))
    if strategy.needs is Needs.POOLER:
        return Extent(shape.layers, pooler=True)
    return Extent(shape.layers, labels=strategy.labels or config.num_labels)


def pooling_names(config: ServerConfig) -> str:
    """What is pooled by, for people."""
    return " and ".join(strategy.name for strategy in config.poolings)


def pooled_width(config: ServerConfig, shape: EncoderShape) -> int:
    """How many numbers come out of the pooling."""
    strategy = STRATEGIES[config.pooling_strategy]
    if strategy.needs is Needs.TOKENS:
        widths = sum(STRATEGIES[one].widths for one in config.poolings)
        return shape.hidden * len(config.pooling_layer) * widths
    return extent_of(config, shape).labels or shape.hidden


def width_of(config: ServerConfig, shape: EncoderShape) -> int:
    """How many numbers a vector has."""
    dense = dense_after(config, shape)
    return dense[-1].outputs if dense else pooled_width(config, shape)
