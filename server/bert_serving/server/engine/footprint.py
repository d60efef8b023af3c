"""How large a model is and about how much memory a worker takes with it: sums and measured factors. No TensorFlow.

The factors were measured on a CPU with TensorFlow 2.21, over models of 4 to 12 layers: a worker's memory is that of
TensorFlow and a multiple of the float32 weights that it computes with, since graph, constants and oneDNN's own layouts
of them stand side by side. In half precision the larger ones are half as large.
"""

from __future__ import annotations

from math import prod

from bert_serving.server.config import ServerConfig
from bert_serving.server.engine.architectures.base import EncoderShape
from bert_serving.server.engine.contract import Footprint
from bert_serving.server.engine.model_folder import ModelFolder
from bert_serving.server.engine.pooling import extent_of, width_of

_TENSORFLOW_BYTES = 640 << 20
_READY, _LOADING = 6.4, 13.3
_READY_HALF, _LOADING_HALF = 3.4, 9.3


def footprint_of(config: ServerConfig, model: ModelFolder) -> Footprint:
    """That of a resolved config."""
    shape, extent = model.shape, extent_of(config, model.shape)
    count = sum(prod(variable.shape) for variable in model.architecture.variables(shape, extent))
    size = 4 * (count + sum(one.inputs * one.outputs for one in shape.dense))
    is_half = config.fp16 or config.dtype in ("float16", "bfloat16")
    ready, loading = (_READY_HALF, _LOADING_HALF) if is_half else (_READY, _LOADING)
    words = (
        f"{model.architecture.name}, {extent.layers} of {shape.layers} layers computed, vectors of {shape.hidden} "
        f"a token, {shape.vocab} tokens known, texts of up to {shape.positions}; {size / 2**20:.0f} MiB of weights"
    )
    return Footprint(words, int(_TENSORFLOW_BYTES + ready * size), int(_TENSORFLOW_BYTES + loading * size))


def vector_bytes(config: ServerConfig, shape: EncoderShape) -> int:
    """Of one vector in an answer: of a text, or with pooling NONE of a token."""
    return width_of(config, shape) * (2 if config.fp16 else 4)
