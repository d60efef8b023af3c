"""A sentence-transformers folder brings its own defaults; what somebody gave wins."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bert_serving.server.config import PoolingStrategy, ServerConfig
from bert_serving.server.engine import tensorflow_engine
from bert_serving.server.errors import StartError

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


def write_modules(folder: Path, modules: tuple[tuple[str, str], ...]) -> None:
    listed = [
        {"idx": n, "path": path, "type": f"sentence_transformers.models.{kind}"}
        for n, (path, kind) in enumerate(modules)
    ]
    (folder / "modules.json").write_text(json.dumps(listed))


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
    ("values", "strategy"),
    [
        ({"pooling_mode_max_tokens": True}, PoolingStrategy.REDUCE_MAX),
        ({"pooling_mode_cls_token": True}, PoolingStrategy.CLS_TOKEN),
        ({"pooling_mode_lasttoken": True}, PoolingStrategy.LAST_TOKEN),
        ({"pooling_mode": "cls"}, PoolingStrategy.CLS_TOKEN),
        ({"pooling_mode": ["mean"]}, PoolingStrategy.REDUCE_MEAN),
    ],
)
def test_ways_of_pooling(values: dict[str, Any], strategy: PoolingStrategy, folder: Path) -> None:
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(values))
    assert resolve(folder).pooling_strategy is strategy


@pytest.mark.parametrize(
    ("values", "name"),
    [
        ({"pooling_mode_mean_sqrt_len_tokens": True}, "mean_sqrt_len_tokens"),
        ({"pooling_mode": ["mean", "max"]}, "mean and max"),  # ours would be in the other order
        ({}, "nothing"),
    ],
)
def test_pooling_that_cannot_be_served(values: dict[str, Any], name: str, folder: Path) -> None:
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(values))
    with pytest.raises(StartError, match=f"pooling by {name} cannot be served"):
        resolve(folder)


def test_unknown_module_is_named(folder: Path) -> None:
    write_modules(folder, (*MODULES[:2], ("2_Dense", "Dense")))
    with pytest.raises(StartError, match=r"modules\.json: module 2 is Dense, which cannot be served"):
        resolve(folder)


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
