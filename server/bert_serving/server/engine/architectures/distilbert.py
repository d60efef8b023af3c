"""DistilBERT (https://arxiv.org/abs/1910.01108): BERT without types and without a pooler. No TensorFlow."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from bert_serving.server.engine.architectures.base import (
    Architecture,
    EncoderShape,
    Extent,
    HeadShape,
    Values,
    Variable,
    activation_in,
    check_heads,
    dense,
    embeddings,
    layer,
    output,
    size_in,
)

_EPSILON = 1e-12
_LAYER = {
    "query": "attention.q_lin",
    "key": "attention.k_lin",
    "value": "attention.v_lin",
    "attention": "attention.out_lin",
    "attention_norm": "sa_layer_norm",
    "intermediate": "ffn.lin1",
    "output": "ffn.lin2",
    "output_norm": "output_layer_norm",
}


def _shape_of(path: Path, values: Values) -> EncoderShape:
    shape = EncoderShape(
        hidden=size_in(path, values, "dim"),
        layers=size_in(path, values, "n_layers"),
        heads=size_in(path, values, "n_heads"),
        intermediate=size_in(path, values, "hidden_dim"),
        vocab=size_in(path, values, "vocab_size"),
        positions=size_in(path, values, "max_position_embeddings"),
        types=0,
        activation=activation_in(path, values, "activation"),
        epsilon=_EPSILON,
        has_pooler=False,
        head=HeadShape(activation="relu"),
    )
    check_heads(path, ("dim", shape.hidden), ("n_heads", shape.heads))
    return shape


def _variables(shape: EncoderShape, extent: Extent) -> Iterator[Variable]:
    yield from embeddings(shape)
    for number in range(extent.layers):
        yield from layer(f"layer_{number}", f"transformer.layer.{number}", shape, _LAYER)
    if extent.labels:
        yield from dense("head/dense", "pre_classifier", shape.hidden, shape.hidden)
        yield from output("classifier", extent.labels, shape.hidden)


DISTILBERT = Architecture(
    name="DistilBERT",
    shape_of=_shape_of,
    variables=_variables,
    prefix="distilbert.",
    encoder_names=re.compile(r"^(embeddings|transformer)\."),
)
