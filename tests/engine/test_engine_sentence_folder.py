"""A sentence-transformers folder brings its own defaults; what somebody gave wins."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from bert_serving.server.config import ServerConfig
from bert_serving.server.engine import tensorflow_engine
from bert_serving.server.engine.architectures.base import Extent
from bert_serving.server.engine.model_folder import find_model
from bert_serving.server.engine.weights import load_weights
from bert_serving.server.errors import ConfigError, StartError
from bert_serving.server.poolings import PoolingStrategy

MODULES = (("", "Transformer"), ("1_Pooling", "Pooling"), ("2_Normalize", "Normalize"))
MEAN = {"pooling_mode_cls_token": False, "pooling_mode_mean_tokens": True}


@pytest.fixture
def folder(torch_folder: Callable[..., Path]) -> Path:
    """The tiny model as a sentence-transformers folder."""
    folder = torch_folder()
    write_modules(folder, MODULES)
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(MEAN))
    (folder / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": 40}))
    return folder


def write_modules(folder: Path, modules: Sequence[tuple[str, str]]) -> None:
    listed = [
        {"idx": n, "path": path, "type": f"sentence_transformers.models.{kind}"}
        for n, (path, kind) in enumerate(modules)
    ]
    (folder / "modules.json").write_text(json.dumps(listed))


def write(folder: Path, values: dict[str, Any]) -> None:
    """The config of a module."""
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps(values))


def resolve(folder: Path, **options: Any) -> ServerConfig:
    return tensorflow_engine.resolve(ServerConfig.from_mapping({"model_dir": str(folder), **options}))


def test_defaults(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        config = resolve(folder)
    assert config.pooling_strategy is PoolingStrategy.REDUCE_MEAN
    assert (config.pooling_layer, config.max_seq_len, config.normalize) == ((-1,), 40, True)
    assert "sets -max_seq_len 40 -pooling_strategy REDUCE_MEAN -pooling_layer -1 -normalize" in caplog.text


def test_what_is_given_wins(folder: Path) -> None:
    config = resolve(folder, pooling_strategy="CLS_TOKEN", pooling_layer=[-2], max_seq_len=None, no_normalize=True)
    assert config.pooling_strategy is PoolingStrategy.CLS_TOKEN
    assert (config.pooling_layer, config.max_seq_len, config.normalize) == ((-2,), None, False)


@pytest.mark.parametrize("strategy", ["NONE", "CLASSIFICATION", "REGRESSION"])
def test_what_is_no_sentence_vector_is_not_normalized(strategy: str, folder: Path) -> None:
    assert resolve(folder, pooling_strategy=strategy).normalize is False


def test_no_normalize_module(folder: Path) -> None:
    write_modules(folder, MODULES[:2])
    assert resolve(folder).normalize is False
    assert resolve(folder, normalize=True).normalize is True


@pytest.mark.parametrize(
    ("values", "strategies"),
    [
        ({"pooling_mode_max_tokens": True}, ["REDUCE_MAX"]),
        ({"pooling_mode_cls_token": True}, ["CLS_TOKEN"]),
        ({"pooling_mode_lasttoken": True}, ["LAST_TOKEN"]),
        ({"pooling_mode_mean_sqrt_len_tokens": True}, ["REDUCE_MEAN_SQRT"]),
        ({"pooling_mode_weightedmean_tokens": True}, ["WEIGHTED_MEAN"]),
        ({"pooling_mode": "cls"}, ["CLS_TOKEN"]),
        ({"pooling_mode": ["mean"]}, ["REDUCE_MEAN"]),
        ({"pooling_mode": "cls", "pooling_mode_mean_tokens": True}, ["CLS_TOKEN"]),
        ({"pooling_mode": ["mean", "cls"]}, ["REDUCE_MEAN", "CLS_TOKEN"]),  # a list has an order of its own
        ({"pooling_mode_mean_tokens": True, "pooling_mode_cls_token": True}, ["CLS_TOKEN", "REDUCE_MEAN"]),
        ({}, ["REDUCE_MEAN"]),
        ({"pooling_mode_cls_token": False}, ["REDUCE_MEAN"]),
        ({"pooling_mode": None, "include_prompt": None, "word_embedding_dimension": 48}, ["REDUCE_MEAN"]),
    ],
    ids=str,
)
def test_ways_of_pooling(values: dict[str, Any], strategies: list[str], folder: Path) -> None:
    write(folder / "1_Pooling", values)
    config = resolve(folder)
    assert list(config.poolings) == [PoolingStrategy[name] for name in strategies]
    assert config.vector_bytes == 4 * 48 * len(strategies)
    assert ServerConfig.from_json(config.to_json()) == config


def test_a_strategy_that_is_given_stands_alone(folder: Path) -> None:
    write(folder / "1_Pooling", {"pooling_mode": ["mean", "cls"]})
    config = resolve(folder, pooling_strategy="REDUCE_MAX")
    assert config.poolings == (PoolingStrategy.REDUCE_MAX,)
    assert resolve(folder, pooling_layer=[-1, -2]).vector_bytes == 4 * 48 * 4


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"pooling_mode": "median"}, 'pooling_mode "median" cannot be served, only cls, max, mean'),
        ({"pooling_mode": ["mean", 1]}, r"must be a name or a list of names, not \["),
        ({"pooling_mode": []}, "must be a name or a list of names"),
        ({"pooling_mode_cls_token": "yes"}, "pooling_mode_cls_token must be true or false"),
        ({"include_prompt": 1}, "include_prompt must be true or false, not 1"),
        ({"embedding_dimension": 40}, "embedding_dimension is 40, but the encoder's vectors have 48 numbers"),
        ({"word_embedding_dimension": 40}, "word_embedding_dimension is 40"),
        ({"pooling_mode_attention": True}, "pooling_mode_attention is true, which is not supported"),
    ],
    ids=str,
)
def test_pooling_that_cannot_be_served(values: dict[str, Any], reason: str, folder: Path) -> None:
    write(folder / "1_Pooling", values)
    with pytest.raises(StartError, match=f"1_Pooling/config.json: .*{reason}"):
        resolve(folder)


# -- what follows the pooling -----------------------------------------------------------------------------------------

TANH = "torch.nn.modules.activation.Tanh"


def add_dense(folder: Path, number: int, n_in: int, n_out: int, **values: Any) -> None:
    """A Dense with weights, and its line in modules.json."""
    listed = json.loads((folder / "modules.json").read_text())
    path = f"{number}_Dense"
    listed.append({"idx": number, "path": path, "type": "sentence_transformers.models.Dense"})
    (folder / "modules.json").write_text(json.dumps(listed))
    write(folder / path, {"in_features": n_in, "out_features": n_out, **values})
    tensors = {"linear.weight": np.ones((n_out, n_in), np.float32), "linear.bias": np.ones(n_out, np.float32)}
    save_file(tensors, folder / path / "model.safetensors")


def test_the_log_tells_of_a_dense(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    add_dense(folder, 3, 48, 20, activation_function=TANH)
    with caplog.at_level(logging.INFO):
        resolve(folder)
    assert "-pooling_layer -1 and a Dense of 48 to 20 with tanh" in caplog.text
    with caplog.at_level(logging.INFO):
        caplog.clear()
        resolve(folder, pooling_strategy="NONE")
    assert "Dense" not in caplog.text


def test_vectors_are_as_wide_as_the_last_dense(folder: Path) -> None:
    add_dense(folder, 3, 48, 20, activation_function=TANH)
    add_dense(folder, 4, 20, 6, bias=True, use_residual=False, activation_function="torch.nn.ReLU")
    config = resolve(folder)
    assert (config.vector_bytes, config.normalize) == (4 * 6, False)  # its Normalize stands before the layers
    assert [dense.normalized for dense in find_model(config).shape.dense] == [True, False]
    assert resolve(folder, pooling_strategy="NONE").vector_bytes == 4 * 48
    assert resolve(folder, pooling_strategy="CLASSIFICATION", num_labels=3).vector_bytes == 4 * 3


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"pooling_strategy": "REDUCE_MEAN_MAX"}, "-pooling_strategy REDUCE_MEAN_MAX -pooling_layer -1 .* 96 numbers"),
        ({"pooling_layer": [-1, -2]}, "-pooling_strategy REDUCE_MEAN -pooling_layer -1 -2 .* Dense .* takes 48"),
    ],
    ids=str,
)
def test_a_dense_does_not_fit_what_is_given(options: dict[str, Any], reason: str, folder: Path) -> None:
    add_dense(folder, 3, 48, 20)
    with pytest.raises(ConfigError, match=reason):
        resolve(folder, **options)


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"activation_function": "torch.nn.modules.activation.Mish"}, "Mish.* only PyTorch's Tanh, Identity, ReLU"),
        ({"activation_function": "my_code.Tanh"}, "activation_function is .my_code.Tanh"),
        ({"activation_function": 1}, "activation_function is 1"),
        ({"in_features": 40}, "in_features is 40, but its input has 48 numbers"),
        ({"in_features": None}, "in_features must be a whole number"),
        ({"bias": "no"}, "bias must be true or false"),
        ({"use_residual": True}, "use_residual is true"),
        ({"module_input_name": "token_embeddings"}, "module_input_name is .token_embeddings., but only sentence_emb"),
        ({"module_output_name": "other"}, "module_output_name is .other."),
        ({"key_name": "x"}, "key_name is .x., which is not supported"),
    ],
    ids=str,
)
def test_a_dense_that_cannot_be_served(values: dict[str, Any], reason: str, folder: Path) -> None:
    add_dense(folder, 3, 48, 20, **{"out_features": 20, **values})
    write(folder / "3_Dense", {"in_features": 48, "out_features": 20, **values})
    with pytest.raises(StartError, match=f"3_Dense/config.json: .*{reason}"):
        resolve(folder)


def test_files_of_a_dense_that_are_missing(folder: Path) -> None:
    add_dense(folder, 3, 48, 20)
    weights = folder / "3_Dense" / "model.safetensors"
    weights.write_bytes(b"version https://git-lfs.github.com/spec/v1")
    with pytest.raises(StartError, match=r"3_Dense/model.safetensors is a Git LFS pointer"):
        resolve(folder)
    weights.rename(folder / "3_Dense" / "pytorch_model.bin")
    with pytest.raises(StartError, match=r"3_Dense has only pytorch_model.bin, a pickle.*save the model again"):
        resolve(folder)
    (folder / "3_Dense" / "pytorch_model.bin").unlink()
    with pytest.raises(StartError, match=r"3_Dense/model.safetensors is missing"):
        resolve(folder)
    shutil.rmtree(folder / "3_Dense")
    with pytest.raises(StartError, match=r"3_Dense/config.json is missing"):
        resolve(folder)


@pytest.mark.parametrize(
    ("tensors", "reason"),
    [
        ({"linear.weight": (20, 48)}, r"has no variable linear.bias, expected with shape \[20\]"),
        ({"linear.weight": (48, 20), "linear.bias": (20,)}, r"linear.weight has shape \[48, 20\], .* \[20, 48\]"),
        ({"linear.weight": (20, 48), "linear.bias": (20,), "residual.weight": (20, 48)}, "variable residual.weight"),
    ],
    ids=str,
)
def test_weights_of_a_dense_that_do_not_fit(tensors: dict[str, Any], reason: str, folder: Path) -> None:
    add_dense(folder, 3, 48, 20)
    arrays = {name: np.ones(shape, np.float32) for name, shape in tensors.items()}
    save_file(arrays, folder / "3_Dense" / "model.safetensors")
    model = find_model(resolve(folder))
    with pytest.raises(StartError, match=f"3_Dense/model.safetensors.*{reason}"):
        load_weights(model, Extent(1))


@pytest.mark.parametrize(
    ("modules", "reason"),
    [
        ([("", "Transformer"), ("1_Pooling", "Pooling"), ("2_LayerNorm", "LayerNorm")], "module 2 is LayerNorm"),
        ([("", "Transformer"), ("2_Normalize", "Normalize"), ("1_Pooling", "Pooling")], "module 1 is Normalize"),
        ([("", "StaticEmbedding")], "module 0 is StaticEmbedding, but only a Transformer"),
        ([("", "Transformer"), ("1_Pooling", "Pooling"), ("1_Pooling", "Pooling")], "module 2 is Pooling"),
        ([], "lists no module"),
    ],
    ids=str,
)
def test_modules_that_cannot_be_served(modules: Sequence[tuple[str, str]], reason: str, folder: Path) -> None:
    write_modules(folder, modules)
    with pytest.raises(StartError, match=rf"modules\.json:? .*{reason}"):
        resolve(folder)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"type": "custom_st.Transformer"}, "module 0 is custom_st.Transformer, which is not part of"),
        ({"type": None}, "module 0 needs a path and a type"),
        ({"path": 1}, "module 0 needs a path and a type"),
        ({"path": "../other"}, "the path of module 0, '../other', leads out of the folder"),
        ({"path": "/models/other"}, "the path of module 0, '/models/other', leads out of the folder"),
        ({"device": "cuda"}, "device is .cuda."),
    ],
    ids=str,
)
def test_a_line_that_is_not_understood(change: dict[str, Any], reason: str, folder: Path) -> None:
    listed = json.loads((folder / "modules.json").read_text())
    (folder / "modules.json").write_text(json.dumps([{**listed[0], **change}, *listed[1:]]))
    with pytest.raises(StartError, match=reason):
        resolve(folder)


def test_dropout_does_nothing(folder: Path) -> None:
    write_modules(folder, (*MODULES[:2], ("2_Dropout", "Dropout"), ("3_Normalize", "Normalize"), ("4", "Dropout")))
    assert resolve(folder).normalize is True


def test_a_normalize_of_something_else_is_refused(folder: Path) -> None:
    write(folder / "2_Normalize", {"module_input_name": "token_embeddings"})
    with pytest.raises(StartError, match=r"2_Normalize/config.json: module_input_name is .token_embeddings."):
        resolve(folder)


# -- the length, and what the encoder is called with ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "tokenizer", "length"),
    [
        ({"max_seq_length": 20}, {"model_max_length": 30}, 20),
        ({"max_seq_length": 500}, {}, 64),
        ({}, {"model_max_length": 30}, 30),
        ({"max_seq_length": None}, {"model_max_length": 1000000000000000019884624838656}, 64),
        ({}, {"model_max_length": 1e30}, 64),
        ({}, {"model_max_length": None, "max_len": 22}, 22),
        ({}, {}, 64),
    ],
    ids=str,
)
def test_the_longest_text(settings: dict[str, Any], tokenizer: dict[str, Any], length: int, folder: Path) -> None:
    (folder / "sentence_bert_config.json").write_text(json.dumps(settings))
    (folder / "tokenizer_config.json").write_text(json.dumps(tokenizer))
    assert resolve(folder).max_seq_len == length


def test_settings_under_an_old_name(folder: Path) -> None:
    (folder / "sentence_bert_config.json").rename(folder / "sentence_distilbert_config.json")
    assert resolve(folder).max_seq_len == 40


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"max_seq_length": 3}, "max_seq_length must be a whole number above 3, not 3"),
        ({"max_seq_length": "40"}, "max_seq_length must be a whole number"),
        ({"max_seq_length": 40.5}, "max_seq_length must be a whole number"),
        ({"transformer_task": "fill-mask"}, "transformer_task is .fill-mask., but only .feature-extraction."),
        ({"modality_config": {"text": {"method": "encode"}}}, "modality_config is"),
        ({"module_output_name": "sentence_embedding"}, "module_output_name is .sentence_embedding."),
        ({"processing_kwargs": {"text": {"padding": "max_length"}}}, "processing_kwargs is"),
        ({"query_expansion": {"strategy": "fixed"}}, "query_expansion is"),
        ({"model_args": {"hidden_act": "relu"}}, "hidden_act is .relu."),
        ({"tokenizer_args": ["do_lower_case"]}, "tokenizer_args must be a JSON object"),
    ],
    ids=str,
)
def test_settings_that_cannot_be_served(settings: dict[str, Any], reason: str, folder: Path) -> None:
    (folder / "sentence_bert_config.json").write_text(json.dumps(settings))
    with pytest.raises(StartError, match=f"sentence_bert_config.json: {reason}"):
        resolve(folder)


def test_settings_that_change_nothing(folder: Path) -> None:
    settings = {
        "max_seq_length": 40, "do_lower_case": False, "unpad_inputs": True, "transformer_task": "feature-extraction",
        "modality_config": {"text": {"method": "forward", "method_output_name": "last_hidden_state"}},
        "module_output_name": "token_embeddings", "processing_kwargs": {}, "query_expansion": None,
        "model_args": {"trust_remote_code": True, "add_pooling_layer": False, "attn_implementation": "sdpa"},
    }  # fmt: skip
    (folder / "sentence_bert_config.json").write_text(json.dumps(settings))
    assert resolve(folder).max_seq_len == 40


def test_no_length_means_the_longest(folder: Path) -> None:
    (folder / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": None}))
    assert resolve(folder).max_seq_len == 64
    (folder / "sentence_bert_config.json").unlink()
    assert resolve(folder).max_seq_len == 64


def test_model_in_a_sub_folder(folder: Path) -> None:
    inner = folder / "0_Transformer"
    inner.mkdir()
    for name in ("config.json", "vocab.txt", "model.safetensors", "sentence_bert_config.json"):
        (folder / name).rename(inner / name)
    write_modules(folder, (("0_Transformer", "Transformer"), *MODULES[1:]))
    assert resolve(folder).max_seq_len == 40


def test_plain_folder_keeps_the_defaults_of_the_command_line(torch_folder: Callable[..., Path]) -> None:
    config = resolve(torch_folder())
    assert (config.pooling_layer, config.max_seq_len, config.normalize) == ((-2,), 25, False)
