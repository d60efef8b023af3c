"""ALBERT (https://arxiv.org/abs/1909.11942): BERT with narrow embeddings, whose layers share weights. No TensorFlow."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from bert_serving.server.engine.architectures.base import (
    Architecture,
    EncoderShape,
    Extent,
    Values,
    Variable,
    dense,
    embeddings,
    layer,
    output,
    refuse_others,
    size_in,
)
from bert_serving.server.engine.architectures.bert import bert_shape
from bert_serving.server.errors import StartError

_LAYER = {
    "query": "attention.query",
    "key": "attention.key",
    "value": "attention.value",
    "attention": "attention.dense",
    "attention_norm": "attention.LayerNorm",
    "intermediate": "ffn",
    "output": "ffn_output",
    "output_norm": "full_layer_layer_norm",
}


def _shape_of(path: Path, values: Values) -> EncoderShape:
    refuse_others(path, values, {"inner_group_num": 1})
    shape = bert_shape(path, {"hidden_act": "gelu_new", **values})
    width, groups = size_in(path, values, "embedding_size", 128), size_in(path, values, "num_hidden_groups", 1)
    if groups > shape.layers:
        raise StartError(f"{path}: num_hidden_groups {groups} is above num_hidden_layers {shape.layers}: copy it again")
    return replace(shape, embedding=width, groups=groups)


def _variables(shape: EncoderShape, extent: Extent) -> Iterator[Variable]:
    hidden = shape.hidden
    yield from embeddings(shape)
    yield from dense("embeddings/projection", "encoder.embedding_hidden_mapping_in", shape.embedding_width, hidden)
    for number, name in enumerate(dict.fromkeys(map(shape.weights_of, range(extent.layers)))):
        yield from layer(name, f"encoder.albert_layer_groups.{number}.albert_layers.0", shape, _LAYER)
    if extent.pooler or extent.labels:
        yield from dense("pooler", "pooler", hidden, hidden)
    if extent.labels:
        yield from output("classifier", extent.labels, hidden)


ALBERT = Architecture(
    name="ALBERT",
    shape_of=_shape_of,
    variables=_variables,
    prefix="albert.",
    encoder_names=re.compile(r"^(embeddings|encoder|pooler)\."),
)
