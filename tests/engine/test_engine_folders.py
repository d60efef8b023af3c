"""Model folders that work: Hugging Face's variants give the tiny model's vectors, and what a folder says is heeded."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from folders import TINY
from model_folders import Folder, Load, Weights, assert_same, resolve, vectors, write_tokenizer_json

from bert_serving.server.engine.model_folder import find_model
from bert_serving.server.engine.tokenization import load_tokenizer


def test_hugging_face(torch_folder: Folder, load_engine: Load) -> None:
    assert_same(torch_folder(), load_engine)


def test_hugging_face_with_prefix_old_names_buffers_and_heads(
    torch_folder: Folder, torch_weights: Weights, load_engine: Load
) -> None:
    old = {
        "bert." + name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"): value
        for name, value in torch_weights.items()
    }
    old["bert.embeddings.position_ids"] = np.arange(64)[None]
    old["cls.predictions.bias"] = np.zeros(5763, np.float32)
    assert_same(torch_folder(old), load_engine)


def test_shards(torch_folder: Folder, torch_weights: Weights, load_engine: Load) -> None:
    from safetensors.numpy import save_file

    folder = torch_folder()
    (folder / "model.safetensors").unlink()
    names = sorted(torch_weights)
    places = {name: f"model-{number % 2}.safetensors" for number, name in enumerate(names)}
    for file in set(places.values()):
        save_file({name: torch_weights[name] for name in names if places[name] == file}, folder / file)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": places}))
    assert_same(folder, load_engine)


def test_vocabulary_out_of_tokenizer_json(torch_folder: Folder, load_engine: Load) -> None:
    folder = torch_folder()
    write_tokenizer_json(folder)
    (folder / "vocab.txt").unlink()
    assert_same(folder, load_engine)


def write_bfloat16(path: Path, tensors: Weights) -> None:
    """By hand, for numpy has no such type: a length, a JSON header, then the upper halves of all float32 numbers."""
    header, data = {}, b""
    for name, value in tensors.items():
        halves = (np.ascontiguousarray(value).view(np.uint32) >> 16).astype("<u2").tobytes()
        header[name] = {"dtype": "BF16", "shape": value.shape, "data_offsets": [len(data), len(data) + len(halves)]}
        data += halves
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + data)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_short_floats_are_widened(dtype: str, torch_folder: Folder, torch_weights: Weights, load_engine: Load) -> None:
    if dtype == "float16":
        folder = torch_folder({name: value.astype(np.float16) for name, value in torch_weights.items()})
    else:
        folder = torch_folder()
        write_bfloat16(folder / "model.safetensors", torch_weights)
    assert_same(folder, load_engine, atol=0.01 if dtype == "float16" else 0.08)


def test_layer_norm_epsilon_is_read(torch_folder: Folder, load_engine: Load) -> None:
    strange = load_engine(model_dir=str(torch_folder(layer_norm_eps=0.5)), pooling_layer=[-1])
    assert np.abs(vectors(strange) - vectors(load_engine(pooling_layer=[-1]))).max() > 0.1


@pytest.mark.parametrize("activation", ["gelu_new", "relu"])
def test_other_activations_are_built(activation: str, torch_folder: Folder, load_engine: Load) -> None:
    other = load_engine(model_dir=str(torch_folder(hidden_act=activation)), pooling_layer=[-1])
    difference = np.abs(vectors(other) - vectors(load_engine(pooling_layer=[-1]))).max()
    assert difference > 0
    assert (difference < 0.01) == (activation == "gelu_new")  # an approximation of gelu, and not at all


@pytest.mark.parametrize(
    ("tokenizer_config", "normalizer", "options", "lowercase"),
    [
        pytest.param(None, None, {}, True, id="nothing said"),
        pytest.param({"do_lower_case": False}, None, {}, False, id="tokenizer_config"),
        pytest.param(None, {"lowercase": False}, {}, False, id="tokenizer.json"),
        pytest.param({"do_lower_case": True}, {"lowercase": False}, {}, True, id="tokenizer_config first"),
        pytest.param({"do_lower_case": True}, None, {"cased_tokenization": True}, False, id="-cased_tokenization"),
    ],
)
def test_case_as_the_folder_says(
    tokenizer_config: Any, normalizer: Any, options: dict[str, Any], lowercase: bool, torch_folder: Folder
) -> None:
    folder = torch_folder()
    if tokenizer_config is not None:
        (folder / "tokenizer_config.json").write_text(json.dumps(tokenizer_config))
    if normalizer is not None:
        write_tokenizer_json(folder, normalizer={"type": "BertNormalizer", **normalizer})
    config = resolve(folder, **options)
    tokenizer = load_tokenizer(config, find_model(config))
    (upper,), (lower,) = tokenizer.encode(["HELLO"]), tokenizer.encode(["hello"])
    assert (upper == lower) == lowercase


def test_resolve_tells_the_longest_sequence() -> None:
    assert resolve(TINY).max_positions == 64
