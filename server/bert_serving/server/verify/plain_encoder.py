"""An encoder's forward pass in NumPy, float64, one text at a time: slow, and simple enough to check against the papers.

It shares the loader of the weights and the tokenizer with the server, and nothing of what the server computes with.
Attention: https://arxiv.org/abs/1706.03762; BERT: https://arxiv.org/abs/1810.04805, and for what that leaves open
modeling.py in https://github.com/google-research/bert; LayerNorm: https://arxiv.org/abs/1607.06450; GELU:
https://arxiv.org/abs/1606.08415; relative positions: https://arxiv.org/abs/1910.10683, section 2.1; rotary positions:
https://arxiv.org/abs/2104.09864; gated feed-forward: https://arxiv.org/abs/2002.05202.
Sizes in the comments: T tokens, H hidden, A heads, D = H / A, I intermediate.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any

import numpy as np

from bert_serving.server.config import ServerConfig
from bert_serving.server.engine.architectures.base import Extent
from bert_serving.server.engine.contract import FloatArray, Row
from bert_serving.server.engine.features import FeatureMaker
from bert_serving.server.engine.model_folder import ModelFolder
from bert_serving.server.engine.tokenization import load_tokenizer
from bert_serving.server.engine.weights import load_weights
from bert_serving.server.errors import ServiceError
from bert_serving.server.poolings import PoolingStrategy
from bert_serving.server.verify.pooling import EncodedText, answer, num_labels, softmax
from bert_serving.server.wanted import TextOptions

_HIDDEN = -10000.0  # Google's number for tokens that attention shall not see
_FARTHEST = 128
_erf = np.vectorize(math.erf, otypes=[np.float64])


class PlainEncoder:
    """A `reference.Encoder`."""

    name = "a forward pass in NumPy, float64; weights and tokens come from the server's own loader and tokenizer"

    def __init__(self, config: ServerConfig, model: ModelFolder) -> None:
        """Loads the weights that the options need. Raises StartError."""
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # TensorFlow reads Google's checkpoints
        labels = num_labels(config)
        self._config = config
        self._shape = model.shape
        self._labels = labels
        self._has_pooler = config.pooling_strategy is PoolingStrategy.CLS_POOLED
        count = model.shape.layers
        if not labels and not self._has_pooler:
            count += 1 + max(config.pooling_layer)
        self._numbers = range(-model.shape.layers, count - model.shape.layers)
        self._weights = load_weights(model, Extent(count, self._has_pooler, labels))
        self._model = model

    def encode(self, text: str) -> EncodedText:
        """Raises ServiceError for a text without features."""
        (row,) = self._features.rows([text], TextOptions(self._config.prompt_text))
        if isinstance(row, str):
            raise ServiceError(f"the text {text!r} cannot be encoded: {row}")
        return self.encode_row(row)

    @cached_property
    def _features(self) -> FeatureMaker:
        limit = self._config.max_seq_len or self._shape.positions
        return FeatureMaker(
            load_tokenizer(self._config, self._model), limit, include_prompt=self._config.include_prompt
        )

    def encode_row(self, row: Row) -> EncodedText:
        """All layers of a row of tokens."""
        visible = np.ones(row.length, bool)
        if self._config.mask_cls_sep:
            visible[list(row.special)] = False
        x = self._embed(row)  # (T, H)
        layers: dict[int, FloatArray] = {}
        for layer, number in enumerate(self._numbers):
            x = self._layer(layer, x, visible)  # (T, H)
            layers[number] = x
        if self._shape.norm_first and -1 in layers:
            layers[-1] = self._norm("norm", x)
        return EncodedText(layers, visible, self._top(layers), row.prompt)

    def _embed(self, row: Row) -> FloatArray:
        shape = self._shape
        x: FloatArray = self._weights["embeddings/word"][row.ids].astype(np.float64)  # (T, H): float64 from here on
        if shape.types:
            types = np.minimum(np.arange(row.length) >= row.first_length, shape.types - 1).astype(int)  # (T,)
            x = x + self._weights["embeddings/type"][types]
        if shape.first_position is not None and not self._config.no_position_embeddings:
            x = x + self._weights["embeddings/position"][shape.first_position :][: row.length]
        x = self._norm("embeddings/norm", x)
        return self._dense("embeddings/projection", x) if shape.embedding else x  # (T, H)

    def _layer(self, number: int, x: FloatArray, visible: Any) -> FloatArray:
        name = self._shape.weights_of(number)
        if self._shape.norm_first:
            x = x + self._attend(number, self._norm(f"{name}/attention_norm", x), visible)  # (T, H)
            return x + self._feed_forward(name, self._norm(f"{name}/output_norm", x))  # (T, H)
        x = self._norm(f"{name}/attention_norm", x + self._attend(number, x, visible))  # (T, H)
        return self._norm(f"{name}/output_norm", x + self._feed_forward(name, x))  # (T, H)

    def _feed_forward(self, name: str, x: FloatArray) -> FloatArray:
        activation = ACTIVATIONS[self._shape.activation]
        inner: FloatArray
        if self._shape.gated:
            inner = activation(self._dense(f"{name}/activated", x)) * self._dense(f"{name}/gate", x)  # (T, I)
        else:
            inner = activation(self._dense(f"{name}/intermediate", x))  # (T, I)
        return self._dense(f"{name}/output", inner)

    def _attend(self, number: int, x: FloatArray, visible: Any) -> FloatArray:
        """A dense layer over softmax(Q K' / sqrt(D) + biases) V of each head, side by side."""
        shape, name = self._shape, self._shape.weights_of(number)
        query, key, value = (
            self._dense(f"{name}/{part}", x).reshape(len(x), shape.heads, shape.head_size).swapaxes(0, 1)  # (A, T, D)
            for part in ("query", "key", "value")
        )
        if shape.rotary:
            query, key = (_turned(side, shape.rotary[number]) for side in (query, key))
        scores = query @ key.swapaxes(1, 2) / math.sqrt(shape.head_size) + np.where(visible, 0.0, _HIDDEN)  # (A, T, T)
        distances = np.arange(len(x)) - np.arange(len(x))[:, None]  # (T, T): of key from query
        if shape.relative:
            rows = np.vectorize(_distance_row)(distances, shape.relative)  # (T, T)
            scores = scores + np.moveaxis(self._weights["relative"][rows], -1, 0)
        if shape.windows and (window := shape.windows[number]) is not None:
            scores = np.where(np.abs(distances) > window, -np.inf, scores)
        attended: FloatArray = (softmax(scores) @ value).swapaxes(0, 1).reshape(len(x), shape.hidden)  # (T, H)
        return self._dense(f"{name}/attention", attended)

    def _top(self, layers: Mapping[int, FloatArray]) -> FloatArray:
        """What `EncodedText.top` is."""
        if self._has_pooler:
            return ACTIVATIONS["tanh"](self._dense("pooler", layers[-1][0]))  # (H,)
        if not self._labels:
            return np.zeros(0)
        head = self._shape.head
        x: FloatArray = layers[-1].mean(axis=0) if head.of_mean else layers[-1][0]  # (H,)
        x = ACTIVATIONS[head.activation](self._dense(head.dense, x))
        if head.norm:
            x = self._norm("head/norm", x)
        return answer(self._config, head, self._weights["head/kernel"] @ x + self._weights["head/bias"])  # (L,)

    def _dense(self, name: str, x: FloatArray) -> FloatArray:
        product: FloatArray = x @ self._weights[f"{name}/kernel"]
        return product + self._weights[f"{name}/bias"] if f"{name}/bias" in self._weights else product

    def _norm(self, name: str, x: FloatArray) -> FloatArray:
        if f"{name}/scale" not in self._weights:
            return x
        scaled = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + self._shape.epsilon)
        normed: FloatArray = scaled * self._weights[f"{name}/scale"]
        return normed + self._weights[f"{name}/offset"] if f"{name}/offset" in self._weights else normed


def _turned(x: FloatArray, base: float) -> FloatArray:
    """Each pair of elements half a head apart, `[A, T, D]`, turned by the token's place times the pair's frequency."""
    half = x.shape[-1] // 2
    angles = np.outer(np.arange(x.shape[1]), base ** (-np.arange(half) / half))  # (T, D / 2)
    turned = (x[..., :half] + 1j * x[..., half:]) * np.exp(1j * angles)  # as complex numbers
    return np.concatenate([turned.real, turned.imag], axis=-1)


def _distance_row(distance: int, rows: int) -> int:
    """The row of a table of relative positions: near ones have one each, farther ones share, from 128 on the last."""
    half = rows // 2
    near, far = half // 2, abs(distance)
    if far >= near:
        far = min(half - 1, near + int(math.log(far / near) / math.log(_FARTHEST / near) * (half - near)))
    return far + (half if distance > 0 else 0)


def _gelu(x: FloatArray) -> FloatArray:
    """x times the share of a normal distribution that is below x."""
    found: FloatArray = x * (1 + _erf(x / math.sqrt(2))) / 2
    return found


def _gelu_by_tanh(x: FloatArray) -> FloatArray:
    """The approximation that GELU's paper gives."""
    found: FloatArray = x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))) / 2
    return found


def _silu(x: FloatArray) -> FloatArray:
    """x times its logistic function."""
    found: FloatArray = x / (1 + np.exp(-x))
    return found


ACTIVATIONS: dict[str, Callable[[FloatArray], FloatArray]] = {
    "gelu": _gelu,
    "gelu_python": _gelu,
    "gelu_new": _gelu_by_tanh,
    "gelu_fast": _gelu_by_tanh,
    "gelu_pytorch_tanh": _gelu_by_tanh,
    "linear": lambda x: x,
    "relu": lambda x: np.maximum(x, 0),
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "silu": _silu,
    "swish": _silu,
    "tanh": np.tanh,
}
"""By the names that a model's config has for them."""
