"""From the vectors of a text's tokens to its vector, in NumPy: what all references have in common. No TensorFlow.

One text at a time and no padding: each formula is what README.md says of its strategy. Sizes in the comments: T tokens,
H hidden, W width of all pooled layers together, L labels.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from bert_serving.server.config import ServerConfig
from bert_serving.server.engine.architectures.base import HeadShape
from bert_serving.server.engine.contract import FloatArray
from bert_serving.server.poolings import PoolingStrategy


@dataclass(frozen=True)
class EncodedText:
    """One text after the encoder.

    `layers` holds `[T, H]` by the number that `-pooling_layer` has for it, -1 being the last. `visible`, bool `[T]`, is
    False for what `-mask_cls_sep` hides. `top` is what is on the last layer, if the strategy asks for it: the
    pooler's output `[H]` for CLS_POOLED, the head's `answer` `[L]` for CLASSIFICATION, REGRESSION and LOGITS. The first
    `prompt` tokens are left out of pooling.
    """

    layers: Mapping[int, FloatArray]
    visible: np.ndarray[Any, np.dtype[np.bool_]]
    top: FloatArray = field(default_factory=lambda: np.zeros(0))
    prompt: int = 0

    @property
    def counts(self) -> np.ndarray[Any, np.dtype[np.bool_]]:
        """Which tokens pooling looks at: bool `[T]`."""
        return self.visible & (np.arange(len(self.visible)) >= self.prompt)


def num_labels(config: ServerConfig) -> int:
    """How many outputs the head has that the strategy asks for; 0 if it asks for none."""
    asked = {
        PoolingStrategy.CLASSIFICATION: config.num_labels,
        PoolingStrategy.REGRESSION: 1,
        PoolingStrategy.LOGITS: config.num_labels,
    }
    return asked.get(config.pooling_strategy, 0)


def answer(config: ServerConfig, head: HeadShape, logits: FloatArray) -> FloatArray:
    """What the strategy makes of a head's logits `[L]`."""
    strategy = config.pooling_strategy
    if strategy is PoolingStrategy.LOGITS or (strategy is PoolingStrategy.REGRESSION and head.score == "identity"):
        return logits
    if strategy is PoolingStrategy.REGRESSION or head.is_multi_label:
        probabilities: FloatArray = 1 / (1 + np.exp(-logits))
        return probabilities
    return softmax(logits)


def pool(
    config: ServerConfig, encoded: EncodedText, dense: Callable[[FloatArray], FloatArray] = lambda pooled: pooled
) -> FloatArray:
    """The text's vector `[D]`, or with NONE one for each token, `[T, W]`; of length 1 each under `-normalize`.

    `dense` is what follows the pooling.
    """
    tokens = np.concatenate([encoded.layers[number] for number in config.pooling_layer], axis=-1)  # (T, W)
    pooled = np.concatenate([_STRATEGIES[one](tokens, encoded) for one in config.poolings], axis=-1)
    vector = dense(pooled)
    return scaled(vector) if config.normalize else vector


def scaled(vectors: FloatArray) -> FloatArray:
    """Vectors `[D]` or `[T, W]` at length 1; those of hidden tokens stay zero."""
    length = np.linalg.norm(vectors, axis=-1, keepdims=True)  # (1,) or (T, 1)
    found: FloatArray = np.divide(vectors, length, out=np.zeros_like(vectors), where=length > 0)
    return found


def padded(config: ServerConfig, texts: Sequence[FloatArray]) -> list[FloatArray]:
    """Token vectors `[T, W]` of the texts of a request, each with rows of zeros after it as in an answer of NONE."""
    longest = config.max_positions if config.fixed_embed_length else config.max_seq_len
    rows = longest or max(map(len, texts))
    return [np.pad(tokens, ((0, rows - len(tokens)), (0, 0))) for tokens in texts]


def _mean_max(tokens: FloatArray, encoded: EncodedText) -> FloatArray:
    seen = tokens[encoded.counts]  # (.., W)
    return np.concatenate([seen.mean(axis=0), seen.max(axis=0)])  # (2W,)


def _weighted_mean(tokens: FloatArray, encoded: EncodedText) -> FloatArray:
    """The first token counts once, the second twice, and so on."""
    weights = (1 + np.arange(len(tokens)))[encoded.counts]
    mean: FloatArray = np.average(tokens[encoded.counts], axis=0, weights=weights)
    return mean


def softmax(x: FloatArray) -> FloatArray:
    """Shares along the last axis: `exp(x) / sum(exp(x))`, less the maximum first so that nothing overflows."""
    powers = np.exp(x - x.max(axis=-1, keepdims=True))
    shares: FloatArray = powers / powers.sum(axis=-1, keepdims=True)
    return shares


_STRATEGIES: dict[PoolingStrategy, Callable[[FloatArray, EncodedText], FloatArray]] = {
    PoolingStrategy.NONE: lambda tokens, encoded: tokens * encoded.visible[:, None],
    PoolingStrategy.REDUCE_MEAN: lambda tokens, encoded: tokens[encoded.counts].mean(axis=0),
    PoolingStrategy.REDUCE_MAX: lambda tokens, encoded: tokens[encoded.counts].max(axis=0),
    PoolingStrategy.REDUCE_MEAN_MAX: _mean_max,
    PoolingStrategy.CLS_TOKEN: lambda tokens, encoded: tokens[encoded.prompt],
    PoolingStrategy.SEP_TOKEN: lambda tokens, encoded: tokens[-1],
    PoolingStrategy.CLS_POOLED: lambda tokens, encoded: encoded.top,
    PoolingStrategy.CLASSIFICATION: lambda tokens, encoded: encoded.top,
    PoolingStrategy.REGRESSION: lambda tokens, encoded: encoded.top,
    PoolingStrategy.LOGITS: lambda tokens, encoded: encoded.top,
    PoolingStrategy.REDUCE_MEAN_SQRT: lambda tokens, encoded: (
        tokens[encoded.counts].sum(axis=0) / np.sqrt(encoded.counts.sum())
    ),
    PoolingStrategy.WEIGHTED_MEAN: _weighted_mean,
}
