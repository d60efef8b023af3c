"""BERT (https://arxiv.org/abs/1810.04805), as Google's checkpoints and Hugging Face's files keep it. No TensorFlow."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

from bert_serving.server.engine.architectures.base import (
    Architecture,
    EncoderShape,
    Extent,
    Values,
    Variable,
    activation_in,
    check_heads,
    epsilon_in,
    output,
    size_in,
)
from bert_serving.server.errors import StartError

_EPSILON = 1e-12  # Google's constant; Hugging Face writes it into the config


def bert_shape(path: Path, values: Values) -> EncoderShape:
    """The shape of BERT, and the ground of those that differ from it in a few things. Raises StartError."""
    positions = values.get("position_embedding_type", "absolute")
    if positions not in ("absolute", None):
        raise StartError(f"{path}: position_embedding_type {json.dumps(positions)} is not supported, only absolute")
    if values.get("is_decoder"):
        raise StartError(f"{path}: is_decoder is true, and a decoder cannot be served: use an encoder")
    shape = EncoderShape(
        hidden=size_in(path, values, "hidden_size"),
        layers=size_in(path, values, "num_hidden_layers"),
        heads=size_in(path, values, "num_attention_heads"),
        intermediate=size_in(path, values, "intermediate_size"),
        vocab=size_in(path, values, "vocab_size"),
        positions=size_in(path, values, "max_position_embeddings"),
        types=size_in(path, values, "type_vocab_size"),
        activation=activation_in(path, values, "hidden_act"),
        epsilon=epsilon_in(path, values, "layer_norm_eps", _EPSILON),
    )
    check_heads(path, ("hidden_size", shape.hidden), ("num_attention_heads", shape.heads))
    return shape


def bert_encoder(shape: EncoderShape, layers: int) -> Iterator[Variable]:
    """The embeddings and so many layers of BERT, and of those that keep their weights alike."""
    width = shape.embedding_width
    yield _table("embeddings/word", "word_embeddings", shape.vocab, width)
    yield _table("embeddings/position", "position_embeddings", shape.position_rows, width)
    yield _table("embeddings/type", "token_type_embeddings", shape.types, width)
    yield from _norm("embeddings/norm", "embeddings/LayerNorm", width)
    for layer in range(layers):
        yield from _layer(f"layer_{layer}", f"encoder/layer_{layer}", shape)


def _variables(shape: EncoderShape, extent: Extent) -> Iterator[Variable]:
    yield from bert_encoder(shape, extent.layers)
    if extent.pooler or extent.labels:
        yield from _dense("pooler", "pooler/dense", shape.hidden, shape.hidden)
    if extent.labels:
        yield from output("classifier", extent.labels, shape.hidden, google=("output_weights", "output_bias"))


def _layer(name: str, path: str, shape: EncoderShape) -> Iterator[Variable]:
    hidden, inner = shape.hidden, shape.intermediate
    for part in ("query", "key", "value"):
        yield from _dense(f"{name}/{part}", f"{path}/attention/self/{part}", hidden, hidden)
    yield from _dense(f"{name}/attention", f"{path}/attention/output/dense", hidden, hidden)
    yield from _norm(f"{name}/attention_norm", f"{path}/attention/output/LayerNorm", hidden)
    yield from _dense(f"{name}/intermediate", f"{path}/intermediate/dense", hidden, inner)
    yield from _dense(f"{name}/output", f"{path}/output/dense", inner, hidden)
    yield from _norm(f"{name}/output_norm", f"{path}/output/LayerNorm", hidden)


def _table(name: str, path: str, rows: int, width: int) -> Variable:
    return Variable(name, f"embeddings.{path}.weight", f"bert/embeddings/{path}", (rows, width))


def _dense(name: str, path: str, n_in: int, n_out: int) -> Iterator[Variable]:
    dotted = _dotted(path)
    yield Variable(f"{name}/kernel", f"{dotted}.weight", f"bert/{path}/kernel", (n_in, n_out), transposed=True)
    yield Variable(f"{name}/bias", f"{dotted}.bias", f"bert/{path}/bias", (n_out,))


def _norm(name: str, path: str, width: int) -> Iterator[Variable]:
    yield Variable(f"{name}/scale", f"{_dotted(path)}.weight", f"bert/{path}/gamma", (width,))
    yield Variable(f"{name}/offset", f"{_dotted(path)}.bias", f"bert/{path}/beta", (width,))


def _dotted(path: str) -> str:
    return path.replace("layer_", "layer.").replace("/", ".")


BERT = Architecture(
    name="BERT",
    shape_of=bert_shape,
    variables=_variables,
    prefix="bert.",
    encoder_names=re.compile(r"^(embeddings|encoder|pooler)\."),
    google_names=re.compile(r"^bert/"),
)
