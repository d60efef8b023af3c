"""ELECTRA (https://arxiv.org/abs/2003.10555), the discriminator: BERT with narrow embeddings. No TensorFlow."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from bert_serving.server.engine.architectures.base import (
    Architecture,
    EncoderShape,
    Extent,
    HeadShape,
    Values,
    Variable,
    dense,
    output,
    size_in,
)
from bert_serving.server.engine.architectures.bert import bert_encoder, bert_shape


def _shape_of(path: Path, values: Values) -> EncoderShape:
    shape = bert_shape(path, values)
    width = size_in(path, values, "embedding_size", shape.hidden)
    return replace(
        shape,
        embedding=None if width == shape.hidden else width,
        has_pooler=False,
        head=HeadShape(activation="gelu"),
    )


def _variables(shape: EncoderShape, extent: Extent) -> Iterator[Variable]:
    yield from bert_encoder(shape, extent.layers)
    if shape.embedding:
        yield from dense("embeddings/projection", "embeddings_project", shape.embedding, shape.hidden)
    if extent.labels:
        yield from dense("head/dense", "classifier.dense", shape.hidden, shape.hidden)
        yield from output("classifier.out_proj", extent.labels, shape.hidden)


ELECTRA = Architecture(
    name="ELECTRA",
    shape_of=_shape_of,
    variables=_variables,
    prefix="electra.",
    encoder_names=re.compile(r"^(embeddings|embeddings_project|encoder)\."),
)
