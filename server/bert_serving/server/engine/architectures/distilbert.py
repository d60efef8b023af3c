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
    norm,
    output,
    size_in,
    table,
)

_EPSILON = 1e-12


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
    hidden, inner = shape.hidden, shape.intermediate
    yield table("embeddings/word", "embeddings.word_embeddings", shape.vocab, hidden)
    yield table("embeddings/position", "embeddings.position_embeddings", shape.position_rows, hidden)
    yield from norm("embeddings/norm", "embeddings.LayerNorm", hidden)
    for layer in range(extent.layers):
        name, path = f"layer_{layer}", f"transformer.layer.{layer}"
        for part, short in (("query", "q"), ("key", "k"), ("value", "v"), ("attention", "out")):
            yield from dense(f"{name}/{part}", f"{path}.attention.{short}_lin", hidden, hidden)
        yield from norm(f"{name}/attention_norm", f"{path}.sa_layer_norm", hidden)
        yield from dense(f"{name}/intermediate", f"{path}.ffn.lin1", hidden, inner)
        yield from dense(f"{name}/output", f"{path}.ffn.lin2", inner, hidden)
        yield from norm(f"{name}/output_norm", f"{path}.output_layer_norm", hidden)
    if extent.labels:
        yield from dense("head/dense", "pre_classifier", hidden, hidden)
        yield from output("classifier", extent.labels, hidden)


DISTILBERT = Architecture(
    name="DistilBERT",
    shape_of=_shape_of,
    variables=_variables,
    prefix="distilbert.",
    encoder_names=re.compile(r"^(embeddings|transformer)\."),
)
