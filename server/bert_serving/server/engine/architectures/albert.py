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
    norm,
    output,
    refuse_others,
    size_in,
    table,
)
from bert_serving.server.engine.architectures.bert import bert_shape
from bert_serving.server.errors import StartError


def _shape_of(path: Path, values: Values) -> EncoderShape:
    refuse_others(path, values, {"inner_group_num": 1})
    shape = bert_shape(path, {"hidden_act": "gelu_new", **values})
    width, groups = size_in(path, values, "embedding_size", 128), size_in(path, values, "num_hidden_groups", 1)
    if groups > shape.layers:
        raise StartError(f"{path}: num_hidden_groups {groups} is above num_hidden_layers {shape.layers}: copy it again")
    return replace(shape, embedding=width, groups=groups)


def _variables(shape: EncoderShape, extent: Extent) -> Iterator[Variable]:
    hidden, inner, width = shape.hidden, shape.intermediate, shape.embedding_width
    yield table("embeddings/word", "embeddings.word_embeddings", shape.vocab, width)
    yield table("embeddings/position", "embeddings.position_embeddings", shape.position_rows, width)
    yield table("embeddings/type", "embeddings.token_type_embeddings", shape.types, width)
    yield from norm("embeddings/norm", "embeddings.LayerNorm", width)
    yield from dense("embeddings/projection", "encoder.embedding_hidden_mapping_in", width, hidden)
    for number, name in enumerate(dict.fromkeys(map(shape.weights_of, range(extent.layers)))):
        path = f"encoder.albert_layer_groups.{number}.albert_layers.0"
        for part in ("query", "key", "value"):
            yield from dense(f"{name}/{part}", f"{path}.attention.{part}", hidden, hidden)
        yield from dense(f"{name}/attention", f"{path}.attention.dense", hidden, hidden)
        yield from norm(f"{name}/attention_norm", f"{path}.attention.LayerNorm", hidden)
        yield from dense(f"{name}/intermediate", f"{path}.ffn", hidden, inner)
        yield from dense(f"{name}/output", f"{path}.ffn_output", inner, hidden)
        yield from norm(f"{name}/output_norm", f"{path}.full_layer_layer_norm", hidden)
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
