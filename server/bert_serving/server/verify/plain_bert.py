"""BERT's forward pass in NumPy, float64, one text at a time: slow, and simple enough to be checked against the papers.

It shares the loader of the weights and the tokenizer with the server, and nothing of what the server computes with.
Attention: https://arxiv.org/abs/1706.03762; BERT: https://arxiv.org/abs/1810.04805, and for what that leaves open
modeling.py in https://github.com/google-research/bert; LayerNorm: https://arxiv.org/abs/1607.06450; GELU:
https://arxiv.org/abs/1606.08415.
Sizes in the comments: T tokens, H hidden, A heads, D = H / A, I intermediate.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from typing import Any

import numpy as np

from bert_serving.server.config import PoolingStrategy, ServerConfig
from bert_serving.server.engine.architectures.base import Extent
from bert_serving.server.engine.contract import FloatArray, Row
from bert_serving.server.engine.features import FeatureMaker
from bert_serving.server.engine.model_folder import ModelFolder
from bert_serving.server.engine.tokenization import load_tokenizer
from bert_serving.server.engine.weights import load_weights
from bert_serving.server.errors import ServiceError
from bert_serving.server.verify.pooling import EncodedText, num_labels, softmax

_HIDDEN = -10000.0  # Google's number for tokens that attention shall not see
_erf = np.vectorize(math.erf, otypes=[np.float64])


class PlainBert:
    """A `reference.Encoder`."""

    name = "a forward pass in NumPy, float64; weights and tokens come from the server's own loader and tokenizer"

    def __init__(self, config: ServerConfig, model: ModelFolder) -> None:
        """Loads the weights that the options need. Raises StartError."""
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # TensorFlow reads Google's checkpoints
        labels = num_labels(config)
        self._config = config
        self._shape = model.shape
        self._has_pooler = labels > 0 or config.pooling_strategy is PoolingStrategy.CLS_POOLED
        count = model.shape.layers if self._has_pooler else model.shape.layers + 1 + max(config.pooling_layer)
        self._numbers = range(-model.shape.layers, count - model.shape.layers)
        self._weights = load_weights(model, Extent(count, self._has_pooler, labels))
        limit = config.max_seq_len or model.shape.positions
        self._features = FeatureMaker(load_tokenizer(config, model), limit)

    def encode(self, text: str) -> EncodedText:
        """Raises ServiceError for a text without features."""
        (row,) = self._features.rows([text])
        if isinstance(row, str):
            raise ServiceError(f"the text {text!r} cannot be encoded: {row}")
        visible = np.ones(row.length, bool)
        if self._config.mask_cls_sep:
            visible[list(row.special)] = False
        x = self._embed(row)  # (T, H)
        layers: dict[int, FloatArray] = {}
        for layer, number in enumerate(self._numbers):
            x = self._layer(f"layer_{layer}", x, visible)  # (T, H)
            layers[number] = x
        return EncodedText(layers, visible, self._top(x[0]))

    def _embed(self, row: Row) -> FloatArray:
        types = np.minimum(np.arange(row.length) >= row.first_length, self._shape.types - 1).astype(int)  # (T,)
        # (T, H); what float32 weights are multiplied with is float64 from here on
        x = self._weights["embeddings/word"][row.ids].astype(np.float64) + self._weights["embeddings/type"][types]
        if not self._config.no_position_embeddings:
            x = x + self._weights["embeddings/position"][: row.length]
        return self._norm("embeddings/norm", x)  # (T, H)

    def _layer(self, name: str, x: FloatArray, visible: Any) -> FloatArray:
        attended = self._dense(f"{name}/attention", self._attend(name, x, visible))  # (T, H)
        x = self._norm(f"{name}/attention_norm", x + attended)  # (T, H)
        inner = ACTIVATIONS[self._shape.activation](self._dense(f"{name}/intermediate", x))  # (T, I)
        return self._norm(f"{name}/output_norm", x + self._dense(f"{name}/output", inner))  # (T, H)

    def _attend(self, name: str, x: FloatArray, visible: Any) -> FloatArray:
        """softmax(Q K' / sqrt(D)) V for each head, and the heads side by side again."""
        heads, size = self._shape.heads, self._shape.head_size
        query, key, value = (
            self._dense(f"{name}/{part}", x).reshape(len(x), heads, size).swapaxes(0, 1)  # (A, T, D)
            for part in ("query", "key", "value")
        )
        scores = query @ key.swapaxes(1, 2) / math.sqrt(size) + np.where(visible, 0.0, _HIDDEN)  # (A, T, T)
        attended: FloatArray = (softmax(scores) @ value).swapaxes(0, 1).reshape(len(x), heads * size)  # (T, H)
        return attended

    def _top(self, first: FloatArray) -> FloatArray:
        """What `EncodedText.top` is, of the last layer's [CLS], `[H]`."""
        if not self._has_pooler:
            return np.zeros(0)
        pooled: FloatArray = np.tanh(self._dense("pooler", first))  # (H,)
        if num_labels(self._config) == 0:
            return pooled
        logits: FloatArray = self._weights["head/kernel"] @ pooled + self._weights["head/bias"]  # (L,)
        return logits

    def _dense(self, name: str, x: FloatArray) -> FloatArray:
        product: FloatArray = x @ self._weights[f"{name}/kernel"] + self._weights[f"{name}/bias"]
        return product

    def _norm(self, name: str, x: FloatArray) -> FloatArray:
        scaled = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + self._shape.epsilon)
        normed: FloatArray = scaled * self._weights[f"{name}/scale"] + self._weights[f"{name}/offset"]
        return normed


def _gelu(x: FloatArray) -> FloatArray:
    """x times the share of a normal distribution that is below x."""
    found: FloatArray = x * (1 + _erf(x / math.sqrt(2))) / 2
    return found


def _gelu_by_tanh(x: FloatArray) -> FloatArray:
    """The approximation that GELU's paper gives."""
    found: FloatArray = x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))) / 2
    return found


ACTIVATIONS: dict[str, Callable[[FloatArray], FloatArray]] = {
    "gelu": _gelu,
    "gelu_new": _gelu_by_tanh,
    "gelu_pytorch_tanh": _gelu_by_tanh,
    "relu": lambda x: np.maximum(x, 0),
}
"""By the names that a model's config has for them."""
