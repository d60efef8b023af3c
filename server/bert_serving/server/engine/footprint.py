"""How large a model is and about how much memory a worker takes with it: sums and measured factors. No TensorFlow.

The factors were measured on a CPU with TensorFlow 2.21, over models of 2 to 24 layers: a worker's memory is that of
TensorFlow, the mapped weights as far as they were read, which workers of one machine share, and oneDNN's own layouts of
those of its layers, two in float32. Nearly all of it comes with the first products. The embeddings are hardly read, so
a model whose weights are mostly these takes less.
"""

from __future__ import annotations

from math import prod

from bert_serving.server.config import ServerConfig
from bert_serving.server.engine.contract import Footprint
from bert_serving.server.engine.model_folder import ModelFolder
from bert_serving.server.engine.pooling import kept_extent
from bert_serving.server.wanted import default_view, width_of

_TENSORFLOW_BYTES = 700 << 20
_READY, _LOADING = 3.0, 3.1
_READY_HALF, _LOADING_HALF = 1.0, 1.1
"""Times the weights in float32, by what they are computed in."""


def footprint_of(config: ServerConfig, model: ModelFolder) -> Footprint:
    """That of a resolved config."""
    shape, extent = model.shape, kept_extent(config, model.shape)
    count = sum(prod(variable.shape) for variable in model.architecture.variables(shape, extent))
    size = 4 * (count + sum(one.inputs * one.outputs for one in shape.dense))
    is_half = config.fp16 or config.dtype in ("float16", "bfloat16", "int8")
    ready, loading = (_READY_HALF, _LOADING_HALF) if is_half else (_READY, _LOADING)
    words = (
        f"{model.architecture.name}, {extent.layers} of {shape.layers} layers kept, vectors of {shape.hidden} "
        f"a token, {shape.vocab} tokens known, texts of up to {shape.positions}; {size / 2**20:.0f} MiB of weights"
    )
    return Footprint(words, int(_TENSORFLOW_BYTES + ready * size), int(_TENSORFLOW_BYTES + loading * size))


def vector_bytes(config: ServerConfig) -> int:
    """Of one vector in an answer: of a text, or with pooling NONE of a token."""
    return width_of(config, default_view(config)) * (2 if config.fp16 else 4)
