"""Every family of encoders: each token of the two highest layers as transformers computes it, in any micro-batch.

`tests/golden/architectures` has a tiny model of each family and the numbers of the library `transformers`.
"""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from bert_serving.server.config import ServerConfig
from bert_serving.server.engine import tensorflow_engine
from bert_serving.server.engine.contract import Row
from bert_serving.server.engine.graph import build_graph
from bert_serving.server.engine.micro_batch import collate, common_shape
from bert_serving.server.engine.model_folder import find_model
from bert_serving.server.engine.pooling import extent_of
from bert_serving.server.engine.precision import worst_cosine
from bert_serving.server.engine.session import GraphSession
from bert_serving.server.engine.weights import load_weights
from bert_serving.server.errors import ConfigError, StartError
from bert_serving.server.poolings import PoolingStrategy
from bert_serving.server.verify.plain_encoder import PlainEncoder

FOLDER = Path(__file__).parents[1] / "golden" / "architectures"
CASES = json.loads((FOLDER / "cases.json").read_text())["models"]
NUMBERS = np.load(FOLDER / "vectors.npz")
FAMILIES = sorted({name.partition("/")[0] for name in NUMBERS.files if name.endswith("/last")} - {"deberta_v2"})
HEADS = sorted(name.partition("/")[0] for name in NUMBERS.files if name.endswith("/logits"))
LEAST_COSINE = 0.998  # of a token in bfloat16

Run = Callable[[list[list[int]]], list[Any]]


@lru_cache(maxsize=4)
def session_of(folder: Path, **options: Any) -> Run:
    """Vectors of rows of token ids, by a graph of that model."""
    config = ServerConfig.from_mapping({"model_dir": str(folder), "cpu": True, "pooling_strategy": "NONE", **options})
    model = find_model(config)
    extent = extent_of(config, model.shape)
    dtype = "float32" if config.dtype == "auto" else config.dtype
    session = GraphSession(build_graph(config, model.shape, load_weights(model, extent), dtype), config)

    def run(ids: list[list[int]]) -> list[Any]:
        firsts = [first_length(folder.name, row) for row in ids]
        rows = [Row(row, first, (0, len(row) - 1)) for row, first in zip(ids, firsts, strict=True)]
        batch = collate(rows, shape=common_shape(len(rows), max(map(len, ids)), model.shape.positions))
        vectors = session.run(batch)[: len(rows)]
        if config.pooling_strategy is not PoolingStrategy.NONE:
            return list(vectors)
        return [vector[: len(row)] for vector, row in zip(vectors, ids, strict=True)]

    return run


def first_length(folder: str, ids: list[int]) -> int:
    """How many tokens have type 0: up to the first [SEP] where pairs have types."""
    return ids.index(3) + 1 if folder == "cross_bert" else len(ids)


def expected(family: str, name: str) -> list[Any]:
    """Numbers of the library for each text: of its tokens, `[length, H]`."""
    lengths = [len(row) for row in CASES[family]["ids"]]
    return np.split(NUMBERS[f"{family}/{name}"], np.cumsum(lengths)[:-1])


def check(found: list[Any], right: list[Any], tolerance: float) -> None:
    assert len(found) == len(right)
    for one, other in zip(found, right, strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=tolerance)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("xla", [False, True], ids=["packed", "xla"])
@pytest.mark.parametrize("family", FAMILIES)
def test_each_token_of_the_highest_layers(family: str, xla: bool, dtype: str) -> None:
    ids = CASES[family]["ids"]
    run = session_of(FOLDER / family, pooling_layer=(-1, -2), xla=xla, dtype=dtype)
    right = [
        np.concatenate(pair, axis=1)
        for pair in zip(expected(family, "last"), expected(family, "second_to_last"), strict=True)
    ]
    if dtype == "float32":
        check(run(ids), right, 2e-5)
    else:
        assert worst_cosine(np.concatenate(run(ids)), np.concatenate(right)) > LEAST_COSINE


@pytest.mark.parametrize("family", FAMILIES)
def test_a_row_is_the_same_in_any_micro_batch(family: str) -> None:
    """Positions and biases go by the place in a text, wherever it lies in a packed list."""
    ids, right = CASES[family]["ids"], expected(family, "last")
    run = session_of(FOLDER / family, pooling_layer=(-1,))
    chance = random.Random(family)
    for size in (1, 2, len(ids), 5 * len(ids)):
        places = chance.choices(range(len(ids)), k=size)
        check(run([ids[place] for place in places]), [right[place] for place in places], 2e-5)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_mean_of_the_tokens(family: str) -> None:
    run = session_of(FOLDER / family, pooling_layer=(-1,), pooling_strategy="REDUCE_MEAN")
    check(run(CASES[family]["ids"]), list(NUMBERS[f"{family}/mean"]), 2e-5)


@pytest.mark.parametrize("folder", HEADS)
def test_the_logits_of_pairs(folder: str) -> None:
    run = session_of(FOLDER / folder, pooling_strategy="LOGITS", num_labels=NUMBERS[f"{folder}/logits"].shape[1])
    check(run(CASES[folder]["ids"]), list(NUMBERS[f"{folder}/logits"]), 2e-5)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_reference_in_numpy(family: str) -> None:
    config = ServerConfig.from_mapping({"model_dir": str(FOLDER / family), "pooling_layer": (-1, -2)})
    reference = PlainEncoder(config, find_model(config))
    ids = CASES[family]["ids"]
    found = [reference.encode_row(Row(row, len(row), ())).layers for row in ids]
    check([layers[-1] for layers in found], expected(family, "last"), 1e-5)
    check([layers[-2] for layers in found], expected(family, "second_to_last"), 1e-5)


@pytest.mark.parametrize("folder", HEADS)
def test_the_logits_of_the_reference_in_numpy(folder: str) -> None:
    labels = NUMBERS[f"{folder}/logits"].shape[1]
    options = {"model_dir": str(FOLDER / folder), "pooling_strategy": "LOGITS", "num_labels": labels}
    config = ServerConfig.from_mapping(options)
    reference = PlainEncoder(config, find_model(config))
    rows = [Row(ids, first_length(folder, ids), ()) for ids in CASES[folder]["ids"]]
    check([reference.encode_row(row).top for row in rows], list(NUMBERS[f"{folder}/logits"]), 1e-5)


def sigmoid(x: Any) -> Any:
    return 1 / (1 + np.exp(-x))


@pytest.mark.parametrize("folder", ["cross_bert", "cross_bert_untyped", "cross_xlm_roberta"])
@pytest.mark.parametrize(
    ("about", "function"),
    [
        ({}, sigmoid),
        ({"sentence_transformers": {"activation_fn": "torch.nn.modules.activation.Sigmoid"}}, sigmoid),
        ({"sentence_transformers": {"activation_fn": "torch.nn.modules.linear.Identity"}}, lambda x: x),
        ({"sbert_ce_default_activation_function": "torch.nn.modules.linear.Identity"}, lambda x: x),
        ({"sbert_ce_default_activation_function": "torch.nn.modules.activation.Sigmoid"}, sigmoid),
    ],
    ids=["", "new sigmoid", "new identity", "old identity", "old sigmoid"],
)
def test_a_single_label_goes_through_what_the_folder_says(
    folder: str, about: dict[str, Any], function: Callable[[Any], Any], tmp_path: Path
) -> None:
    changed = copied(FOLDER / folder, tmp_path, about)
    run = session_of(changed, pooling_strategy="REGRESSION")
    check(run(CASES[folder]["ids"]), list(function(NUMBERS[f"{folder}/logits"])), 2e-5)


@pytest.mark.parametrize("is_multi_label", [False, True])
def test_several_labels_share_one_unless_each_stands_alone(is_multi_label: bool, tmp_path: Path) -> None:
    about = {"problem_type": "multi_label_classification"} if is_multi_label else {}
    changed = copied(FOLDER / "cross_distilbert", tmp_path, about)
    logits = NUMBERS["cross_distilbert/logits"].astype(np.float64)
    powers = np.exp(logits)
    right = sigmoid(logits) if is_multi_label else powers / powers.sum(axis=1, keepdims=True)
    run = session_of(changed, pooling_strategy="CLASSIFICATION", num_labels=3)
    check(run(CASES["cross_distilbert"]["ids"]), list(right), 2e-5)


@pytest.mark.parametrize(
    ("folder", "config", "reason"),
    [
        ("cross_bert", {"sentence_transformers": {"activation_fn": "torch.nn.modules.activation.Tanh"}}, "Tanh"),
        ("cross_bert", {"sbert_ce_default_activation_function": "my_code.Sigmoid"}, "my_code.Sigmoid"),
        ("cross_distilbert", {"id2label": {"0": "a", "2": "b"}}, "id2label"),
        ("cross_distilbert", {"id2label": ["a"]}, "id2label"),
        ("deberta_v2", {}, 'model_type is "deberta-v2"'),
        ("mpnet", {"model_type": "t5"}, 'model_type is "t5".*xlm-roberta.*nomic_bert'),
        ("mpnet", {"relative_attention_num_buckets": 64}, "relative_attention_num_buckets is 64"),
        ("mpnet", {"hidden_size": 50}, "hidden_size 50 is not a multiple of num_attention_heads 4"),
        ("roberta", {"pad_token_id": -1}, "pad_token_id is -1"),
        ("roberta", {"position_embedding_type": "relative_key"}, "position_embedding_type"),
        ("xlm_roberta", {"is_decoder": True}, "is_decoder"),
        ("distilbert", {"dim": None}, "dim must be a whole number"),
        ("distilbert", {"activation": "mish"}, 'activation "mish" is not supported'),
        ("albert", {"inner_group_num": 2}, "inner_group_num is 2"),
        ("albert", {"num_hidden_groups": 7}, "num_hidden_groups 7"),
        ("modernbert", {"attention_bias": True}, "attention_bias is true"),
        ("modernbert", {"layer_types": ["full_attention"]}, "layer_types"),
        ("modernbert", {"rope_scaling": {"type": "linear", "factor": 2}}, "scaled"),
        ("modernbert", {"rope_parameters": {"full_attention": {"rope_type": "yarn"}}}, '"yarn"'),
        ("modernbert", {"classifier_pooling": "last"}, "classifier_pooling"),
        ("nomic_bert", {"head_dim": 7}, "head_dim is 7"),
        ("nomic_bert", {"n_embd": 48, "prenorm": True}, "prenorm is true"),
        ("nomic_bert", {"rope_parameters": {"rope_theta": "many"}}, "base of rotary positions"),
        ("electra", {"embedding_size": 0}, "embedding_size must be a whole number"),
    ],
)
def test_what_cannot_be_served_is_refused_by_name(
    folder: str, config: dict[str, Any], reason: str, tmp_path: Path
) -> None:
    changed = copied(FOLDER / folder, tmp_path, config)
    with pytest.raises(StartError, match=reason):
        find_model(ServerConfig.from_mapping({"model_dir": str(changed)}))


@pytest.mark.parametrize(
    ("folder", "options", "reason"),
    [
        ("distilbert", {"pooling_strategy": "CLS_POOLED"}, "DistilBERT has none"),
        ("modernbert", {"pooling_strategy": "CLS_POOLED"}, "ModernBERT has none"),
        ("electra", {"pooling_strategy": "CLS_POOLED"}, "ELECTRA has none"),
        ("modernbert", {"no_position_embeddings": True}, "ModernBERT, whose attention depends on positions"),
        ("mpnet", {"no_position_embeddings": True}, "MPNet, whose attention depends on positions"),
        ("nomic_bert", {"no_position_embeddings": True}, "Nomic BERT, whose attention depends on positions"),
        ("cross_bert", {"pooling_strategy": "CLASSIFICATION"}, "use REGRESSION"),
        ("cross_distilbert", {"pooling_strategy": "REGRESSION"}, "this one has 3"),
        ("cross_bert", {"pooling_strategy": "LOGITS", "normalize": True}, "-normalize makes no sense with LOGITS"),
        ("roberta", {"max_seq_len": 97}, "-max_seq_len 97 is above .* 96"),
        ("albert", {"pooling_layer": [-4]}, "first layer, which is -3"),
    ],
)
def test_options_that_make_no_sense_with_a_family(folder: str, options: dict[str, Any], reason: str) -> None:
    with pytest.raises(ConfigError, match=reason):
        tensorflow_engine.resolve(ServerConfig.from_mapping({"model_dir": str(FOLDER / folder), **options}))


NOMIC_NAMES = (
    ("embeddings.LayerNorm.", "emb_ln."),
    ("self_attn.o_proj.", "attn.out_proj."),
    ("mlp.up_proj.", "mlp.fc11."),
    ("mlp.gate_proj.", "mlp.fc12."),
    ("mlp.down_proj.", "mlp.fc2."),
    ("post_attention_layernorm.", "norm1."),
    ("post_mlp_layernorm.", "norm2."),
    ("layers.", "encoder.layers."),
)
"""Of the transformers library, and of Nomic's own files."""


def test_nomic_bert_in_the_layout_of_the_library(tmp_path: Path) -> None:
    folder = copied(FOLDER / "nomic_bert", tmp_path, {})
    tensors = {}
    for name, array in load_file(folder / "model.safetensors").items():
        for new, old in NOMIC_NAMES:
            name = name.replace(old, new)
        if "attn.Wqkv" in name:
            for part, rows in zip("qkv", np.split(array, 3), strict=True):
                tensors[name.replace("attn.Wqkv", f"self_attn.{part}_proj")] = rows.copy()
        else:
            tensors[name] = array
    assert "layers.0.mlp.gate_proj.weight" in tensors
    save_file(tensors, folder / "model.safetensors")
    run = session_of(folder, pooling_layer=(-1,))
    check(run(CASES["nomic_bert"]["ids"]), expected("nomic_bert", "last"), 2e-5)


def test_nomic_bert_with_a_config_of_its_own(tmp_path: Path) -> None:
    """As its own code writes it; the vocabulary is rounded up to a multiple."""
    given = json.loads((FOLDER / "nomic_bert" / "config.json").read_text())
    own = {
        "n_embd": given["hidden_size"], "n_layer": given["num_hidden_layers"], "n_head": given["num_attention_heads"],
        "n_inner": given["intermediate_size"], "n_positions": 96, "layer_norm_epsilon": given["layer_norm_eps"],
        "rotary_emb_base": given["rope_parameters"]["rope_theta"], "rotary_emb_fraction": 1.0, "prenorm": False,
        "activation_function": "swiglu", "type_vocab_size": 2, "vocab_size": given["vocab_size"] - 1,
        "pad_vocab_size_multiple": 2, "model_type": "nomic_bert", "use_rms_norm": False, "qkv_proj_bias": False,
        "auto_map": {"AutoModel": "nomic-ai/nomic-bert-2048--modeling_hf_nomic_bert.NomicBertModel"},
    }  # fmt: skip
    folder = copied(FOLDER / "nomic_bert", tmp_path, {})
    (folder / "config.json").write_text(json.dumps(own))
    run = session_of(folder, pooling_layer=(-1,))
    check(run(CASES["nomic_bert"]["ids"]), expected("nomic_bert", "last"), 2e-5)


def copied(folder: Path, to: Path, changes: dict[str, Any]) -> Path:
    """The same model with other values in its config."""
    to = to / folder.name
    shutil.copytree(folder, to)
    values = json.loads((to / "config.json").read_text())
    (to / "config.json").write_text(json.dumps({**values, **changes}))
    return to
