"""The dense layers that follow the pooling in a sentence-transformers folder, in NumPy, float64. No TensorFlow."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from bert_serving.server.config import ServerConfig
from bert_serving.server.engine.contract import FloatArray
from bert_serving.server.engine.model_folder import ModelFolder
from bert_serving.server.engine.weights import load_dense
from bert_serving.server.poolings import PoolingStrategy
from bert_serving.server.verify.plain_encoder import ACTIVATIONS
from bert_serving.server.verify.pooling import num_labels, scaled


def dense_layers(config: ServerConfig, model: ModelFolder) -> Callable[[FloatArray], FloatArray]:
    """A function from a pooled vector `[in]` to what the layers make of it, `[out]`.

    The server's loader reads their weights, for it knows bfloat16, which NumPy does not. They leave alone what is no
    text's vector: those of tokens, and answers of a head.
    """
    if config.pooling_strategy is PoolingStrategy.NONE or num_labels(config):
        return lambda pooled: pooled
    weights = load_dense(model)

    def apply(pooled: FloatArray) -> FloatArray:
        for number, shape in enumerate(model.shape.dense):
            x = scaled(pooled) if shape.normalized else pooled
            x = x @ weights[f"dense_{number}/kernel"].astype(np.float64) + weights.get(f"dense_{number}/bias", 0.0)
            pooled = ACTIVATIONS[shape.activation](x)
        return pooled

    return apply
