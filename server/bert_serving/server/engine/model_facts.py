"""What the rest of the server must know about a model: which of its parts are kept, and how wide its vectors are.

No TensorFlow. For safetensors files, the headers list the variables.
"""

from __future__ import annotations

from collections.abc import Iterable

from bert_serving.server.config import ModelFacts, ServerConfig
from bert_serving.server.engine.architectures.base import Extent, Variable
from bert_serving.server.engine.model_folder import ModelFolder, WeightFormat
from bert_serving.server.engine.pooling import extent_of
from bert_serving.server.engine.weights import open_safetensors


def facts_of(config: ServerConfig, model: ModelFolder) -> ModelFacts:
    """Of a model with these options: with `-keep_layers` all is kept that it has, and a classifier's head always.

    Raises StartError if a file of weights is broken.
    """
    shape, needed = model.shape, extent_of(config, model.shape)
    layers = Extent(shape.layers)
    labels = len(model.labels)
    if labels and not _has(model, layers, Extent(shape.layers, labels=labels)):
        labels = 0  # its config says more than its weights hold
    pooler = needed.pooler or (
        config.keep_layers and shape.has_pooler and _has(model, layers, Extent(shape.layers, pooler=True))
    )
    return ModelFacts(
        layers=shape.layers,
        kept_layers=shape.layers if config.keep_layers or labels else needed.layers,
        hidden=shape.hidden,
        pooler=pooler,
        labels=needed.labels or labels,
        dense=(shape.dense[0].inputs, shape.dense[-1].outputs) if shape.dense else None,
        normalizes=model.following.normalize and not config.no_normalize,
    )


def _has(model: ModelFolder, less: Extent, more: Extent) -> bool:
    """Whether the weights have what the second extent asks for beyond the first one."""
    if model.format is WeightFormat.GOOGLE:
        return True  # its checkpoints of BERT have a pooler; without TensorFlow nobody can look
    stored = open_safetensors(model.weights, model.architecture).shapes
    return _names(model, more) - _names(model, less) <= stored.keys()


def _names(model: ModelFolder, extent: Extent) -> set[str]:
    variables: Iterable[Variable] = model.architecture.variables(model.shape, extent)
    return {variable.hugging_face for variable in variables}
