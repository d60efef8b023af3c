"""Weights that do not fit their folder's config, or cannot be read: the sentence names the variable or the file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from model_folders import Folder, Weights, copy_tiny, prepare

from bert_serving.server.errors import StartError


def test_missing_variable_is_named(google_folder: Folder) -> None:
    name = "bert/encoder/layer_1/output/dense/bias"
    with pytest.raises(StartError, match=rf"has no variable {name}, expected with shape \[48\]"):
        prepare(google_folder(without=name))


def test_missing_variable_above_what_is_needed_is_none(google_folder: Folder) -> None:
    assert prepare(google_folder(without="bert/encoder/layer_3/output/dense/bias"), pooling_layer=[-2])


def test_shape_of_a_variable(google_folder: Folder) -> None:
    name = "bert/encoder/layer_0/intermediate/dense/kernel"
    with pytest.raises(StartError, match=rf"{name} has shape \[48, 95\], but \[48, 96\] is expected"):
        prepare(google_folder(changed={name: np.zeros((48, 95), np.float32)}))


def test_unknown_variable_of_the_encoder(google_folder: Folder) -> None:
    name = "bert/encoder/layer_0/adapter/kernel"
    with pytest.raises(StartError, match=f"variable {name} does not belong"):
        prepare(google_folder(changed={name: np.zeros(3, np.float32)}))


def test_layers_that_the_config_does_not_know(google_folder: Folder) -> None:
    with pytest.raises(StartError, match=r"variable bert/encoder/layer_3/.* does not belong"):
        prepare(google_folder(num_hidden_layers=3))


def test_leftovers_of_training_are_fine(google_folder: Folder) -> None:
    slots = [
        "global_step",
        "cls/predictions/output_bias",
        "bert/encoder/layer_0/output/dense/kernel/adam_v",
        "loss_scale",
    ]
    assert prepare(google_folder(changed={name: np.zeros(3, np.float32) for name in slots}))


def test_head_of_another_size(tmp_path: Path) -> None:
    with pytest.raises(
        StartError, match=r"output_weights has shape \[3, 48\], but \[2, 48\] is expected.*-num_labels 3"
    ):
        prepare(copy_tiny(tmp_path), pooling_strategy="CLASSIFICATION")


def test_no_head(google_folder: Folder) -> None:
    with pytest.raises(StartError, match=r"no variable output_weights.*need a fine-tuned model"):
        prepare(google_folder(without="output_weights"), pooling_strategy="CLASSIFICATION", num_labels=3)


@pytest.mark.parametrize("file", ["bert_model.ckpt.index", "bert_model.ckpt.data-00000-of-00001"])
def test_broken_checkpoint(file: str, tmp_path: Path) -> None:
    folder = copy_tiny(tmp_path)
    content = (folder / file).read_bytes()
    (folder / file).write_bytes(content[: len(content) // 2])
    with pytest.raises(StartError, match=r"bert_model\.ckpt is a broken checkpoint"):
        prepare(folder)


@pytest.mark.parametrize("keep", [0.0, 0.001, 0.5])
def test_broken_safetensors(keep: float, torch_folder: Folder) -> None:
    folder = torch_folder()
    content = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(content[: int(len(content) * keep)])
    with pytest.raises(StartError, match=r"model\.safetensors is a broken safetensors file"):
        prepare(folder)


def test_safetensors_with_a_missing_and_an_unknown_variable(torch_folder: Folder, torch_weights: Weights) -> None:
    name = "encoder.layer.0.attention.self.key.weight"
    with pytest.raises(StartError, match=f"has no variable {name}"):
        prepare(torch_folder({key: value for key, value in torch_weights.items() if key != name}))
    with pytest.raises(StartError, match=r"encoder\.layer\.0\.extra does not belong"):
        prepare(torch_folder({**torch_weights, "bert.encoder.layer.0.extra": np.zeros(2, np.float32)}))


@pytest.mark.parametrize("prefix", ["model.", "encoder.bert.", "module."])
def test_names_with_a_prefix_are_told(prefix: str, torch_folder: Folder, torch_weights: Weights) -> None:
    """As trainers write them."""
    name = "embeddings.word_embeddings.weight"
    with pytest.raises(StartError, match=f"no variable {name}.*, but {prefix}{name}.*without the '{prefix}'"):
        prepare(torch_folder({f"{prefix}{key}": value for key, value in torch_weights.items()}))


def test_quantized_safetensors(torch_folder: Folder, torch_weights: Weights) -> None:
    name = "encoder.layer.0.output.dense.weight"
    with pytest.raises(StartError, match=f"{name} is stored as I8"):
        prepare(torch_folder({**torch_weights, name: torch_weights[name].astype(np.int8)}))
