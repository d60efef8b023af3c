"""MPNet (https://arxiv.org/abs/2004.09297): BERT without types.

Beside positions it has a bias by the distance of two tokens, from one table for all layers. No TensorFlow.
"""

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
    embeddings,
    layer,
    output,
    refuse_others,
    table,
)
from bert_serving.server.engine.architectures.bert import bert_shape

_FIRST_POSITION = 2  # the padding token's is 1, whatever the config says
_DISTANCES = 32
_LAYER = {
    "query": "attention.attn.q",
    "key": "attention.attn.k",
    "value": "attention.attn.v",
    "attention": "attention.attn.o",
    "attention_norm": "attention.LayerNorm",
    "intermediate": "intermediate.dense",
    "output": "output.dense",
    "output_norm": "output.LayerNorm",
}


def _shape_of(path: Path, values: Values) -> EncoderShape:
    refuse_others(path, values, {"relative_attention_num_buckets": _DISTANCES})
    shape = bert_shape(path, {"layer_norm_eps": 1e-12, **values, "type_vocab_size": 1})
    return replace(
        shape,
        positions=shape.positions - _FIRST_POSITION,
        first_position=_FIRST_POSITION,
        types=0,
        relative=_DISTANCES,
        head=HeadShape(),
    )


def _variables(shape: EncoderShape, extent: Extent) -> Iterator[Variable]:
    hidden = shape.hidden
    yield from embeddings(shape)
    yield table("relative", "encoder.relative_attention_bias", shape.relative, shape.heads)
    for number in range(extent.layers):
        yield from layer(f"layer_{number}", f"encoder.layer.{number}", shape, _LAYER)
    if extent.pooler:
        yield from dense("pooler", "pooler.dense", hidden, hidden)
    if extent.labels:
        yield from dense("head/dense", "classifier.dense", hidden, hidden)
        yield from output("classifier.out_proj", extent.labels, hidden)


MPNET = Architecture(
    name="MPNet",
    shape_of=_shape_of,
    variables=_variables,
    prefix="mpnet.",
    encoder_names=re.compile(r"^(embeddings|encoder|pooler)\."),
)
