"""What follows the encoder: vectors of an engine against those of NumPy, modules in many orders, prompts."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command import Command
from ml_dtypes import bfloat16
from model_folders import Weights
from safetensors.numpy import load_file, save_file
from sentence_folders import Modules, dense, write_json, write_modules

from bert_serving.client import BertClient
from bert_serving.server.config import ServerConfig
from bert_serving.server.engine import tensorflow_engine
from bert_serving.server.engine.contract import Row
from bert_serving.server.engine.fingerprint import ModelContent
from bert_serving.server.engine.model_folder import find_model
from bert_serving.server.engine.tensorflow_engine import TensorFlowEngine
from bert_serving.server.engine.tokenization import load_tokenizer
from bert_serving.server.verify.plain_encoder import PlainEncoder
from bert_serving.server.verify.reference import reference_vectors
from bert_serving.server.verify.sentences import SENTENCES

Load = Callable[..., TensorFlowEngine]

ARCHITECTURES = Path(__file__).parents[1] / "golden" / "architectures"
CASES = json.loads((ARCHITECTURES / "cases.json").read_text())["models"]
NUMBERS = np.load(ARCHITECTURES / "vectors.npz")
GOLDEN = [(folder, name) for folder in sorted(CASES) for name in ("plain", *CASES[folder].get("prompts", ()))
          if folder.startswith("st_")]  # fmt: skip

MEAN: tuple[str, dict[str, Any]] = ("Pooling", {"pooling_mode": "mean"})
NORMALIZE: tuple[str, dict[str, Any]] = ("Normalize", {})
ALL = ["lasttoken", "cls", "max", "weightedmean", "mean", "mean_sqrt_len_tokens"]
PROMPTS = {"query": "find an answer to this: "}


def pooling(*modes: str, include_prompt: bool = True) -> tuple[str, dict[str, Any]]:
    return "Pooling", {"pooling_mode": list(modes), "include_prompt": include_prompt, "embedding_dimension": 48}


@pytest.fixture
def folder(torch_folder: Callable[..., Path]) -> Callable[..., Path]:
    """Writes the tiny model with the modules that follow it."""

    def write(modules: Modules) -> Path:
        folder = torch_folder()
        write_modules(folder, modules)
        write_json(folder / "config_sentence_transformers.json", {"prompts": PROMPTS})
        write_json(folder / "sentence_bert_config.json", {"max_seq_length": 40})
        return folder

    return write


def vectors_of(engine: TensorFlowEngine, texts: list[str]) -> Any:
    rows = [row for row in engine.features(texts) if isinstance(row, Row)]
    assert len(rows) == len(texts)
    return np.asarray(engine.run(rows))


@pytest.mark.parametrize(
    ("modules", "width"),
    [
        *(([pooling(mode)], 48) for mode in ALL),
        ([pooling(*ALL)], 6 * 48),
        ([pooling("mean", "mean"), NORMALIZE], 96),
        *(([MEAN, dense(48, 7, name)], 7) for name in ("Identity", "ReLU", "GELU", "SiLU", "Sigmoid")),
        ([MEAN, dense(48, 64, bias=False), NORMALIZE, dense(64, 5, "GELU"), ("Dropout", {"dropout": 0.5})], 5),
        ([pooling("cls", "max"), NORMALIZE, NORMALIZE, dense(96, 33), NORMALIZE], 33),
    ],
    ids=lambda value: str(value)[:60],
)
@pytest.mark.parametrize("included", [True, False], ids=["", "prompt left out"])
def test_vectors_are_those_of_the_reference(
    modules: list[Any], width: int, included: bool, folder: Callable[..., Path], load_engine: Load
) -> None:
    (kind, values), *others = modules
    given = {"model_dir": str(folder([(kind, {**values, "include_prompt": included}), *others])), "prompt": "query"}
    config = tensorflow_engine.resolve(ServerConfig.from_mapping(given))
    right = reference_vectors(config, PlainEncoder(config, find_model(config)), SENTENCES)
    engine = load_engine(**given)
    np.testing.assert_allclose(vectors_of(engine, list(SENTENCES)), right, rtol=0, atol=2e-5)
    for text, vector in zip(SENTENCES, right, strict=True):
        np.testing.assert_allclose(vectors_of(engine, [text]), [vector], rtol=0, atol=2e-5)
    assert np.shape(right) == (len(SENTENCES), width)


def test_token_vectors_have_a_prompt_and_no_dense(folder: Callable[..., Path], load_engine: Load) -> None:
    path = folder([pooling("mean", include_prompt=False), dense(48, 7), NORMALIZE])
    given = {"model_dir": str(path), "prompt": "query", "pooling_strategy": "NONE"}
    config = tensorflow_engine.resolve(ServerConfig.from_mapping(given))
    (right,) = reference_vectors(config, PlainEncoder(config, find_model(config)), ["hello world"])
    (found,) = vectors_of(load_engine(**given), ["hello world"])
    np.testing.assert_allclose(found, right[: len(found)], rtol=0, atol=2e-5)
    assert found.shape[1] == 48
    assert np.abs(found).min(axis=1).all()  # no token of zeros


def test_the_reference_reads_bfloat16_without_tensorflow(folder: Callable[..., Path]) -> None:
    """NumPy alone knows no bfloat16; it does once TensorFlow was imported, so this takes a process of its own."""
    path = folder([MEAN, dense(48, 7)])
    file = path / "2_Dense" / "model.safetensors"
    save_file({name: array.astype(bfloat16) for name, array in load_file(file).items()}, file)
    program = (
        "import sys, numpy; from bert_serving.server.config import ServerConfig; "
        "from bert_serving.server.engine.model_folder import find_model; "
        "from bert_serving.server.verify.dense import dense_layers; "
        "config = ServerConfig(sys.argv[1]); print(dense_layers(config, find_model(config))(numpy.ones(48)).shape)"
    )
    done = subprocess.run([sys.executable, "-c", program, path], capture_output=True, text=True, timeout=60)
    assert (done.stdout.strip(), done.returncode) == ("(7,)", 0), done.stderr


def test_half_precision_goes_through_a_dense_too(folder: Callable[..., Path], load_engine: Load) -> None:
    given = {"model_dir": str(folder([MEAN, dense(48, 7), NORMALIZE]))}
    right = vectors_of(load_engine(**given), list(SENTENCES))
    found = vectors_of(load_engine(**given, dtype="bfloat16"), list(SENTENCES))
    assert (found * right).sum(axis=1).min() > 0.999
    assert not np.array_equal(found, right)


@pytest.mark.parametrize(("name", "prompt"), GOLDEN)
def test_a_folder_as_it_comes(name: str, prompt: str, load_engine: Load) -> None:
    """From its files to its vectors, as sentence-transformers computes them."""
    given = {"model_dir": str(ARCHITECTURES / name), **({} if prompt == "plain" else {"prompt": prompt})}
    found = vectors_of(load_engine(**given), CASES[name]["texts"])
    np.testing.assert_allclose(found, NUMBERS[f"{name}/{prompt}"], rtol=0, atol=2e-5)


def test_what_follows_counts_in_the_fingerprint(folder: Callable[..., Path]) -> None:
    def fingerprint(path: Path) -> str:
        config = tensorflow_engine.resolve(ServerConfig.from_mapping({"model_dir": str(path)}))
        return ModelContent.of(config, find_model(config)).fingerprint(config, "float32")

    path = folder([MEAN, dense(48, 7)])
    weights = path / "2_Dense" / "model.safetensors"
    found = [fingerprint(path)]
    others = [
        [MEAN],
        [MEAN, NORMALIZE],
        [pooling("mean", "max")],
        [pooling("max", "mean")],
        [MEAN, dense(48, 7, "ReLU")],
        [MEAN, NORMALIZE, dense(48, 7)],
        [MEAN, dense(48, 7), NORMALIZE],
    ]
    for modules in others:
        write_modules(path, modules)
        found.append(fingerprint(path))
    write_modules(path, [MEAN, dense(48, 7)])
    assert fingerprint(path) == found[0]
    tensors: Weights = load_file(weights)
    save_file({**tensors, "linear.bias": tensors["linear.bias"] + 1}, weights)
    found.append(fingerprint(path))
    assert len(set(found)) == len(found)


def test_memory_of_a_dense_is_foreseen(folder: Callable[..., Path]) -> None:
    def loading(modules: Modules) -> int:
        config = ServerConfig.from_mapping({"model_dir": str(folder(modules))})
        return tensorflow_engine.footprint(tensorflow_engine.resolve(config)).loading_bytes

    assert loading([MEAN, dense(48, 4800)]) - loading([MEAN]) > 4 * 48 * 4800


def test_a_server_of_such_a_folder(folder: Callable[..., Path]) -> None:
    """By the command: what it logs, what its clients see, and vectors; token ids have no prompt."""
    path = folder([pooling("cls", "mean", include_prompt=False), NORMALIZE, dense(96, 7)])
    config = tensorflow_engine.resolve(ServerConfig.from_mapping({"model_dir": str(path)}))
    plain = PlainEncoder(config, find_model(config))
    prompted = PlainEncoder(replace(config, prompt="query"), find_model(config))
    tokenizer = load_tokenizer(config, find_model(config))
    texts = list(SENTENCES[:5])
    right = reference_vectors(config, plain, texts)
    with Command("-model_dir", str(path), "-cpu") as server:
        with BertClient(**server.wait_until_ready().ports) as client:
            np.testing.assert_allclose(client.encode(texts), right, rtol=0, atol=2e-5)
            assert client.server_config["prompts"] == PROMPTS
            assert client.server_config["prompt"] is None
        assert server.log.count("this model has prompts (query)") == 1
    right = reference_vectors(replace(config, prompt="query"), prompted, texts)
    with Command("-model_dir", str(path), "-cpu", "-prompt", "query") as server:
        with BertClient(**server.wait_until_ready().ports) as client:
            np.testing.assert_allclose(client.encode(texts), right, rtol=0, atol=2e-5)
            assert client.server_config["prompt"] == "query"
            found = client.encode(tokenizer.encode(texts), is_tokenized=True)
        assert "this model has prompts" not in server.log
    np.testing.assert_allclose(found, reference_vectors(config, plain, texts), rtol=0, atol=2e-5)
