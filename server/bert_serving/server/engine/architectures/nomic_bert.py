"""Nomic's BERT (https://arxiv.org/abs/2402.01613): rotary positions, a gated feed-forward, else as BERT.

Its files come in two layouts: Nomic's own, and that of the transformers library; both have configs of their own too.
No TensorFlow.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from bert_serving.server.engine.architectures.base import (
    Architecture,
    EncoderShape,
    Extent,
    Rename,
    Values,
    Variable,
    dense,
    embeddings,
    layer,
    output,
    refuse_others,
    rotary_base_in,
    size_in,
)
from bert_serving.server.engine.architectures.bert import bert_shape
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


_LAYER = {
    "query": "self_attn.q_proj",
    "key": "self_attn.k_proj",
    "value": "self_attn.v_proj",
    "attention": "self_attn.o_proj",
    "attention_norm": "post_attention_layernorm",
    "activated": "mlp.gate_proj",
    "gate": "mlp.up_proj",
    "output": "mlp.down_proj",
    "output_norm": "post_mlp_layernorm",
}


def _shape_of(path: Path, values: Values) -> EncoderShape:
    if "n_embd" in values:
        refuse_others(path, values, _USUAL)
        values = {**values, **{new: values[old] for old, new in _NEW_NAMES.items() if old in values}}
    shape = bert_shape(path, {"hidden_act": "silu", **values})
    shape = replace(
        shape,
        vocab=_vocab(path, values),
        positions=_positions(path, values),
        first_position=None,
        gated=True,
        rotary=(rotary_base_in(path, values, "rope_theta", 1_000.0),) * shape.layers,
    )
    if values.get("head_dim") not in (None, shape.head_size):
        raise StartError(
            f"{path}: head_dim is {json.dumps(values['head_dim'])}, but only hidden_size / num_attention_heads, here "
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
    yield from embeddings(shape)
    for number in range(extent.layers):
        yield from layer(f"layer_{number}", f"layers.{number}", shape, _LAYER, dense_bias=False)
    if extent.pooler or extent.labels:
        yield from dense("pooler", "pooler.dense", shape.hidden, shape.hidden)
    if extent.labels:
        yield from output("classifier", extent.labels, shape.hidden)


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
