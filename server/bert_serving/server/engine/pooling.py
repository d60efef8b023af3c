"""From the vectors of a text's tokens to one vector: a table of strategies, with what each needs from the model.

Sizes in the comments: B rows, T tokens, H hidden, W width of all pooled layers together, L labels.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bert_serving.server.config import ServerConfig
from bert_serving.server.engine.architectures.base import DenseShape, EncoderShape, Extent
from bert_serving.server.engine.dense_layers import activation_of
from bert_serving.server.engine.encoder import Encoder
from bert_serving.server.engine.micro_batch import PADDING, PROMPT, VISIBLE
from bert_serving.server.engine.tensors import Tensor, load_tensorflow
from bert_serving.server.engine.weights import Weights
from bert_serving.server.poolings import STRATEGIES, Needs, PoolingStrategy
from bert_serving.server.wanted import PooledView, default_view

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
    mask: Tensor  # (B, T), see micro_batch.MicroBatch
    encoder: Encoder
    weights: Weights
    include_prompt: bool = True

    @staticmethod
    def of(
        view: PooledView,
        layers: Sequence[Tensor],
        mask: Tensor,
        encoder: Encoder,
        weights: Weights,
        include_prompt: bool,
    ) -> EncoderOutput:
        """For one view, of the outputs of the lowest layers, `[B, T, H]` each: those it names, in its order."""
        depth = encoder.shape.layers
        chosen = [layers[depth + number] for number in view.layers] if view.needs is Needs.TOKENS else layers[-1:]
        tokens = chosen[0] if len(chosen) == 1 else load_tensorflow().concat(chosen, axis=-1)  # (B, T, H * chosen)
        return EncoderOutput(tokens, layers[-1], mask, encoder, weights, include_prompt)

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


def pool(view: PooledView, encoded: EncoderOutput) -> Tensor:
    """What a view asks for, float32: vectors `[B, ..]`, or `[B, T, W]` with NONE."""
    tf = load_tensorflow()
    parts = [_FUNCTIONS[strategy](encoded) for strategy in view.poolings]  # (B, ..) each
    pooled = parts[0] if len(parts) == 1 else tf.concat(parts, axis=-1)
    encoder = encoded.encoder
    for number, dense in enumerate(dense_after(view.poolings[0], encoder.shape)):
        x = tf.cast(_scaled(pooled) if dense.normalized else pooled, encoder.dtype)  # (B, in)
        x = tf.cast(encoder.dense(f"dense_{number}", x), tf.float32)  # (B, out)
        pooled = activation_of(dense.activation)(x)
    if view.dimensions is not None:
        pooled = pooled[..., : view.dimensions]
    return _scaled(pooled) if view.normalize else pooled


def dense_after(strategy: PoolingStrategy, shape: EncoderShape) -> tuple[DenseShape, ...]:
    """The dense layers that follow. They are meant for a text's vector, not for those of tokens or for labels."""
    is_vector = strategy is not PoolingStrategy.NONE and STRATEGIES[strategy].needs is not Needs.HEAD
    return shape.dense if is_vector else ()


def _scaled(pooled: Tensor) -> Tensor:
    """Vectors of length 1."""
    tf = load_tensorflow()
    # no division by a root: TensorFlow makes rsqrt of that, which rounds depending on a row's place in the batch
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
    x = activation_of(head.activation)(tf.cast(encoder.dense(head.dense, x), tf.float32))  # (B, H)
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


_FUNCTIONS: dict[PoolingStrategy, Callable[[EncoderOutput], Tensor]] = {
    PoolingStrategy.NONE: _none,
    PoolingStrategy.REDUCE_MEAN: _mean,
    PoolingStrategy.REDUCE_MAX: _max,
    PoolingStrategy.REDUCE_MEAN_MAX: _mean_max,
    PoolingStrategy.FIRST_TOKEN: _first,
    PoolingStrategy.LAST_TOKEN: _last,
    PoolingStrategy.CLS_POOLED: _cls_pooled,
    PoolingStrategy.CLASSIFICATION: _classification,
    PoolingStrategy.REGRESSION: _regression,
    PoolingStrategy.LOGITS: _logits,
    PoolingStrategy.REDUCE_MEAN_SQRT: _mean_sqrt,
    PoolingStrategy.WEIGHTED_MEAN: _weighted_mean,
}


def extent_of(config: ServerConfig, shape: EncoderShape) -> Extent:
    """How much of the model the options need: the highest layer asked for, or all under a pooler or a head."""
    view = default_view(config)
    labels = (STRATEGIES[config.pooling_strategy].labels or config.num_labels) if view.needs is Needs.HEAD else 0
    return Extent(view.depth(shape.layers), pooler=view.needs is Needs.POOLER, labels=labels)


def kept_extent(config: ServerConfig, shape: EncoderShape) -> Extent:
    """How much of it is loaded: what the options need, and what requests may ask for besides that."""
    needed, facts = extent_of(config, shape), config.facts
    return Extent(
        max(needed.layers, facts.kept_layers), needed.pooler or facts.pooler, max(needed.labels, facts.labels)
    )
