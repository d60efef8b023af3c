"""Real weights: all-MiniLM-L6-v2 against the vectors of sentence-transformers itself, see golden/make_minilm.py."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from minilm import TEXTS_BY_LANGUAGE, vectors_by_language

from bert_serving.server.config import ServerConfig
from bert_serving.server.engine import tensorflow_engine
from bert_serving.server.engine.contract import Row
from bert_serving.server.engine.tensorflow_engine import TensorFlowEngine

SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"


@pytest.fixture(scope="module")
def expected() -> dict[str, Any]:
    return {language: array.astype(np.float64) for language, array in vectors_by_language().items()}


def encode(engine: TensorFlowEngine, texts: list[str]) -> Any:
    """In batches of rows of like length, as the server does."""
    rows = dict(enumerate(engine.features(texts)))
    order = sorted(rows, key=lambda index: len(texts[index]))
    found: dict[int, Any] = {}
    for start in range(0, len(order), 16):
        some = order[start : start + 16]
        vectors: Any = engine.run([cast(Row, rows[index]) for index in some])
        found.update(zip(some, vectors, strict=True))
    return np.array([found[index] for index in range(len(texts))], np.float64)


def cosines(a: Any, b: Any) -> Any:
    return (a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)


def test_the_weights_are_those_that_the_vectors_were_made_with(minilm: Path) -> None:
    assert hashlib.sha256((minilm / "model.safetensors").read_bytes()).hexdigest() == SHA256


def test_texts_are_many_and_of_many_lengths() -> None:
    assert {language: len(set(texts)) for language, texts in TEXTS_BY_LANGUAGE.items()} == dict.fromkeys(
        ["en", "de", "zh", "ru"], 50
    )


@pytest.mark.parametrize("language", TEXTS_BY_LANGUAGE)
def test_vectors_of_sentence_transformers(
    language: str, minilm: Path, expected: dict[str, Any], load_engine: Callable[..., TensorFlowEngine]
) -> None:
    found = encode(load_engine(model_dir=str(minilm), no_normalize=True), TEXTS_BY_LANGUAGE[language])
    assert cosines(found, expected[language]).min() > 0.99999
    np.testing.assert_allclose(found, expected[language], rtol=0, atol=1e-5)


def test_normalized_as_the_folder_says(
    minilm: Path, expected: dict[str, Any], load_engine: Callable[..., TensorFlowEngine]
) -> None:
    found = encode(load_engine(model_dir=str(minilm)), TEXTS_BY_LANGUAGE["en"])
    unit = expected["en"] / np.linalg.norm(expected["en"], axis=1, keepdims=True)
    np.testing.assert_allclose(found, unit, rtol=0, atol=1e-6)


def test_half_precision(minilm: Path, expected: dict[str, Any], load_engine: Callable[..., TensorFlowEngine]) -> None:
    found = encode(load_engine(model_dir=str(minilm), no_normalize=True, fp16=True), TEXTS_BY_LANGUAGE["de"][:20])
    assert cosines(found, expected["de"][:20]).min() > 0.9999


@pytest.fixture(scope="module")
def checkpoint_folder(
    minilm: Path, tmp_path_factory: pytest.TempPathFactory, write_checkpoint: Callable[[Path, dict[str, Any]], None]
) -> Path:
    """The same weights as Google stores them."""
    from safetensors.numpy import load_file

    made = tmp_path_factory.mktemp("minilm_tf1")
    stored = load_file(minilm / "model.safetensors")
    variables = {
        _google_name(name): np.ascontiguousarray(value.T if _is_kernel(name) else value)
        for name, value in stored.items()
    }
    variables.pop("bert/embeddings/position_ids", None)
    write_checkpoint(made / "bert_model.ckpt", variables)
    (made / "bert_config.json").write_bytes((minilm / "config.json").read_bytes())
    (made / "vocab.txt").write_bytes((minilm / "vocab.txt").read_bytes())
    return made


def _is_kernel(name: str) -> bool:
    return name.endswith(("dense.weight", "query.weight", "key.weight", "value.weight"))


def _google_name(name: str) -> str:
    if _is_kernel(name):
        name = name.removesuffix("weight") + "kernel"
    name = name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta")
    return (
        "bert/"
        + name.removesuffix("_embeddings.weight").replace("layer.", "layer_").replace(".", "/")
        + ("_embeddings" if name.endswith("_embeddings.weight") else "")
    )


def test_the_same_weights_in_a_checkpoint(
    checkpoint_folder: Path, expected: dict[str, Any], load_engine: Callable[..., TensorFlowEngine]
) -> None:
    engine = load_engine(model_dir=str(checkpoint_folder), pooling_layer=[-1], max_seq_len=256)
    np.testing.assert_allclose(encode(engine, TEXTS_BY_LANGUAGE["zh"]), expected["zh"], rtol=0, atol=1e-5)


def test_the_folder_as_a_config(minilm: Path) -> None:
    config = tensorflow_engine.resolve(ServerConfig(model_dir=str(minilm)))
    assert (config.max_seq_len, config.pooling_layer, config.normalize) == (256, (-1,), True)
