"""Nomic's BERT (https://arxiv.org/abs/2402.01613): rotary positions, a gated feed-forward, else as BERT.

Its files come in two layouts: Nomic's own, and that of the transformers library; both have configs of their own too.
No TensorFlow.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

from bert_serving.server.engine.architectures.base import (
    Architecture,
    EncoderShape,
    Extent,
    Rename,
    Values,
    Variable,
    activation_in,
    check_heads,
    dense,
    epsilon_in,
    norm,
    output,
    refuse_others,
    rotary_base_in,
    size_in,
    table,
)
from bert_serving.server.errors import StartError

_NEW_NAMES = {
    "n_embd": "hidden_size",
    "n_layer": "num_hidden_layers",
    "n_head": "num_attention_heads",
    "n_inner": "intermediate_size",
    "n_positions": "max_position_embeddings",
    "layer_norm_epsilon": "layer_norm_eps",
    "rotary_emb_base": "rope_theta",
}
_USUAL = {
    "prenorm": False, "use_rms_norm": False, "parallel_block": False, "rotary_emb_interleaved": False,
    "rotary_emb_fraction": 1.0, "rotary_emb_scale_base": None, "causal": False, "qkv_proj_bias": False,
    "mlp_fc1_bias": False, "mlp_fc2_bias": False, "activation_function": "swiglu",
}  # fmt: skip
"""Keys of Nomic's own config, with the values of the models that were published."""


def _shape_of(path: Path, values: Values) -> EncoderShape:
    if "n_embd" in values:
        refuse_others(path, values, {name: value for name, value in _USUAL.items() if name in values})
        values = {**values, **{new: values[old] for old, new in _NEW_NAMES.items() if old in values}}
    shape = EncoderShape(
        hidden=size_in(path, values, "hidden_size"),
        layers=size_in(path, values, "num_hidden_layers"),
        heads=size_in(path, values, "num_attention_heads"),
        intermediate=size_in(path, values, "intermediate_size"),
        vocab=_vocab(path, values),
        positions=_positions(path, values),
        types=size_in(path, values, "type_vocab_size"),
        activation=activation_in(path, values, "hidden_act", "silu"),
        epsilon=epsilon_in(path, values, "layer_norm_eps", 1e-12),
        first_position=None,
        gated=True,
        rotary=(rotary_base_in(path, values, "rope_theta", 1_000.0),) * size_in(path, values, "num_hidden_layers"),
    )
    check_heads(path, ("hidden_size", shape.hidden), ("num_attention_heads", shape.heads))
    if values.get("head_dim") not in (None, shape.head_size):
        raise StartError(
            f"{path}: head_dim is {json.dumps(values['head_dim'])}, and only hidden_size / num_attention_heads, here "
            f"{shape.head_size}, can be served: use another model"
        )
    return shape


def _vocab(path: Path, values: Values) -> int:
    """The rows of the table of words, which Nomic's config says without their padding."""
    multiple = size_in(path, values, "pad_vocab_size_multiple", 1)
    return -(-size_in(path, values, "vocab_size") // multiple) * multiple


def _positions(path: Path, values: Values) -> int:
    """Up to where positions are plain: beyond the length of the training some configs stretch them."""
    positions = size_in(path, values, "max_position_embeddings")
    if values.get("rotary_scaling_factor") is None:
        return positions
    return min(positions, size_in(path, values, "max_trained_positions"))


def _variables(shape: EncoderShape, extent: Extent) -> Iterator[Variable]:
    hidden, inner = shape.hidden, shape.intermediate
    yield table("embeddings/word", "embeddings.word_embeddings", shape.vocab, hidden)
    yield table("embeddings/type", "embeddings.token_type_embeddings", shape.types, hidden)
    yield from norm("embeddings/norm", "embeddings.LayerNorm", hidden)
    for layer in range(extent.layers):
        name, path = f"layer_{layer}", f"layers.{layer}"
        for part in ("query", "key", "value"):
            yield from dense(f"{name}/{part}", f"{path}.self_attn.{part[0]}_proj", hidden, hidden, bias=False)
        yield from dense(f"{name}/attention", f"{path}.self_attn.o_proj", hidden, hidden, bias=False)
        yield from norm(f"{name}/attention_norm", f"{path}.post_attention_layernorm", hidden)
        yield from dense(f"{name}/activated", f"{path}.mlp.gate_proj", hidden, inner, bias=False)
        yield from dense(f"{name}/gate", f"{path}.mlp.up_proj", hidden, inner, bias=False)
        yield from dense(f"{name}/output", f"{path}.mlp.down_proj", inner, hidden, bias=False)
        yield from norm(f"{name}/output_norm", f"{path}.post_mlp_layernorm", hidden)
    if extent.pooler or extent.labels:
        yield from dense("pooler", "pooler.dense", hidden, hidden)
    if extent.labels:
        yield from output("classifier", extent.labels, hidden)


NOMIC_BERT = Architecture(
    name="Nomic BERT",
    shape_of=_shape_of,
    variables=_variables,
    prefix="nomic_bert.",
    encoder_names=re.compile(r"^(embeddings|layers|pooler)\."),
    renames=(
        Rename.of(r"^encoder\.layers\.", "layers."),
        Rename.of(r"^emb_ln\.", "embeddings.LayerNorm."),
        Rename.of(r"\.attn\.Wqkv\.", ".self_attn.q_proj.", ".self_attn.k_proj.", ".self_attn.v_proj."),
        Rename.of(r"\.attn\.out_proj\.", ".self_attn.o_proj."),
        Rename.of(r"\.mlp\.fc11\.", ".mlp.up_proj."),
        Rename.of(r"\.mlp\.fc12\.", ".mlp.gate_proj."),
        Rename.of(r"\.mlp\.fc2\.", ".mlp.down_proj."),
        Rename.of(r"\.norm1\.", ".post_attention_layernorm."),
        Rename.of(r"\.norm2\.", ".post_mlp_layernorm."),
    ),
)
