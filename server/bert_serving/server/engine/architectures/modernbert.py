"""ModernBERT (https://arxiv.org/abs/2412.13663): LayerNorm first, rotary positions, most layers with a window.

It has neither a table of positions nor types, its feed-forward is gated, and its first layer has no LayerNorm before
attention, because that of the embeddings is there. No TensorFlow.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bert_serving.server.engine.architectures.base import (
    Architecture,
    EncoderShape,
    Extent,
    HeadShape,
    Rename,
    Values,
    Variable,
    activation_in,
    check_heads,
    dense,
    epsilon_in,
    layer,
    norm,
    output,
    refuse_others,
    rotary_base_in,
    size_in,
    table,
)
from bert_serving.server.errors import StartError

_LAYER = {
    "attention_norm": "attn_norm",
    "query": "attn.query",
    "key": "attn.key",
    "value": "attn.value",
    "attention": "attn.Wo",
    "output_norm": "mlp_norm",
    "activated": "mlp.activated",
    "gate": "mlp.gate",
    "output": "mlp.Wo",
}
"""Once the weights of several parts, which lie in one, are told apart."""
_GLOBAL, _LOCAL = "full_attention", "sliding_attention"
_OLD_BASES = {_GLOBAL: ("global_rope_theta", 160_000.0), _LOCAL: ("local_rope_theta", 10_000.0)}


def _shape_of(path: Path, values: Values) -> EncoderShape:
    # biases are variables that a config may ask for; none of the models that people publish has them
    refuse_others(path, values, {"attention_bias": False, "mlp_bias": False, "norm_bias": False})
    kinds = _kinds(path, values)
    bases = {kind: _base(path, values, kind) for kind in _OLD_BASES}
    window = size_in(path, values, "local_attention", 128) // 2
    shape = EncoderShape(
        hidden=size_in(path, values, "hidden_size"),
        layers=len(kinds),
        heads=size_in(path, values, "num_attention_heads"),
        intermediate=size_in(path, values, "intermediate_size"),
        vocab=size_in(path, values, "vocab_size"),
        positions=size_in(path, values, "max_position_embeddings"),
        types=0,
        activation=activation_in(path, values, "hidden_activation"),
        epsilon=epsilon_in(path, values, "norm_eps", 1e-5),
        first_position=None,
        norm_first=True,
        gated=True,
        rotary=tuple(bases[kind] for kind in kinds),
        windows=tuple(None if kind == _GLOBAL else window for kind in kinds),
        has_pooler=False,
        head=_head(path, values),
    )
    check_heads(path, ("hidden_size", shape.hidden), ("num_attention_heads", shape.heads))
    return shape


def _kinds(path: Path, values: Values) -> list[str]:
    """The kind of attention of each layer."""
    layers = size_in(path, values, "num_hidden_layers")
    every = size_in(path, values, "global_attn_every_n_layers", 3)
    kinds: Any = values.get("layer_types") or [_LOCAL if layer % every else _GLOBAL for layer in range(layers)]
    if not isinstance(kinds, list) or len(kinds) != layers or any(kind not in _OLD_BASES for kind in kinds):
        raise StartError(
            f"{path}: layer_types must name {_GLOBAL} or {_LOCAL} for each of {layers} layers, not {json.dumps(kinds)}"
        )
    return kinds


def _base(path: Path, values: Values, kind: str) -> float:
    name, default = _OLD_BASES[kind]
    by_kind = values.get("rope_parameters") or {}
    return rotary_base_in(path, {**values, "rope_parameters": by_kind.get(kind)}, name, default)


def _head(path: Path, values: Values) -> HeadShape:
    refuse_others(path, values, {"classifier_bias": False})
    pooling = values.get("classifier_pooling", "cls")
    if pooling not in ("cls", "mean"):
        raise StartError(f"{path}: classifier_pooling must be cls or mean, not {json.dumps(pooling)}")
    activation = activation_in(path, values, "classifier_activation")
    return HeadShape(activation=activation, norm=True, of_mean=pooling == "mean")


def _variables(shape: EncoderShape, extent: Extent) -> Iterator[Variable]:
    hidden = shape.hidden
    yield table("embeddings/word", "embeddings.tok_embeddings", shape.vocab, hidden)
    yield from norm("embeddings/norm", "embeddings.norm", hidden, bias=False)
    for number in range(extent.layers):
        parts = {part: path for part, path in _LAYER.items() if number or part != "attention_norm"}
        yield from layer(f"layer_{number}", f"layers.{number}", shape, parts, dense_bias=False, norm_bias=False)
    if extent.layers == shape.layers:
        yield from norm("norm", "final_norm", hidden, bias=False)
    if extent.labels:
        yield from dense("head/dense", "head.dense", hidden, hidden, bias=False)
        yield from norm("head/norm", "head.norm", hidden, bias=False)
        yield from output("classifier", extent.labels, hidden)


MODERNBERT = Architecture(
    name="ModernBERT",
    shape_of=_shape_of,
    variables=_variables,
    prefix="model.",
    encoder_names=re.compile(r"^(embeddings|layers|final_norm)\."),
    renames=(
        Rename.of(r"attn\.Wqkv\.", "attn.query.", "attn.key.", "attn.value."),
        Rename.of(r"mlp\.Wi\.", "mlp.activated.", "mlp.gate."),
    ),
)
