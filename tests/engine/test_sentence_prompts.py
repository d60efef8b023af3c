"""Prompts of a sentence-transformers folder: which one there is, where it stands, and what pooling sees of it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from model_folders import Weights
from sentence_folders import write_json, write_modules

from bert_serving.server.config import ServerConfig
from bert_serving.server.engine import tensorflow_engine
from bert_serving.server.engine.fingerprint import ModelContent
from bert_serving.server.engine.model_folder import find_model
from bert_serving.server.errors import ConfigError, StartError
from bert_serving.server.poolings import PoolingStrategy

PROMPTS = {"query": "find this: ", "document": "", "passage": "read this: "}


@pytest.fixture
def folder(torch_folder: Callable[..., Path]) -> Path:
    """The tiny model as a sentence-transformers folder with prompts."""
    folder = torch_folder()
    write_modules(folder, [("Pooling", {"pooling_mode": "mean"})])
    say(folder, prompts=PROMPTS)
    return folder


def say(folder: Path, **values: Any) -> None:
    write_json(folder / "config_sentence_transformers.json", values)


def resolve(folder: Path, **options: Any) -> ServerConfig:
    return tensorflow_engine.resolve(ServerConfig.from_mapping({"model_dir": str(folder), **options}))


def fingerprint(config: ServerConfig) -> str:
    return ModelContent.of(config, find_model(config)).fingerprint(config, "float32")


@pytest.mark.parametrize(
    ("default", "given", "text"),
    [
        (None, {}, ""),
        (None, {"prompt": "query"}, "find this: "),
        (None, {"prompt": "document"}, ""),
        (None, {"prompt": ""}, ""),
        ("passage", {}, "read this: "),
        ("passage", {"prompt": "query"}, "find this: "),
        ("passage", {"prompt": ""}, ""),
    ],
    ids=str,
)
def test_the_prompt_of_a_server(default: str | None, given: dict[str, Any], text: str, folder: Path) -> None:
    say(folder, prompts=PROMPTS, default_prompt_name=default)
    config = resolve(folder, **given)
    assert config.prompt_text == text
    assert ServerConfig.from_json(config.to_json()) == config
    assert config.as_status()["prompts"] == PROMPTS


@pytest.mark.parametrize(
    ("prompts", "given", "warnings"),
    [
        (PROMPTS, {}, 1),
        (PROMPTS, {"prompt": "document"}, 0),
        (PROMPTS, {"prompt": ""}, 0),
        ({"query": "", "document": None}, {}, 0),
        ({}, {}, 0),
    ],
    ids=str,
)
def test_who_has_prompts_and_is_asked_for_none_says_so_once(
    prompts: dict[str, Any], given: dict[str, Any], warnings: int, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    say(folder, prompts=prompts)
    resolve(folder, **given)
    found = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert len(found) == warnings
    assert all("prompts (query, passage)" in text and "-prompt NAME" in text for text in found)


def test_a_prompt_that_the_model_lacks(folder: Path, torch_folder: Callable[..., Path]) -> None:
    with pytest.raises(
        ConfigError, match="-prompt queries: the model has no such prompt; it has only query, document, pass"
    ):
        resolve(folder, prompt="queries")
    say(folder)
    with pytest.raises(ConfigError, match="-prompt query: the model has no such prompt; it has none at all"):
        resolve(folder, prompt="query")
    (folder / "modules.json").unlink()
    say(folder, prompts=PROMPTS)
    with pytest.raises(ConfigError, match="none at all"):  # a plain folder keeps 1.10's ways
        resolve(folder, prompt="query")


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"prompts": ["query: "]}, "prompts must map names to texts"),
        ({"prompts": {"query": 1}}, "prompts must map names to texts"),
        ({"prompts": {"query": "\ud800"}}, "a prompt is not valid Unicode"),
        ({"prompts": PROMPTS, "default_prompt_name": "title"}, "default_prompt_name .title. is not one of the prompts"),
        ({"default_prompt_name": "title"}, "default_prompt_name .title. is not one of the prompts: there are none"),
        ({"model_type": "SparseEncoder"}, "model_type is .SparseEncoder., but only SentenceTransformer and CrossEnc"),
        ({"truncate_dim": 64}, "truncate_dim is 64, which is not supported"),
    ],
    ids=str,
)
def test_what_cannot_be_served(values: dict[str, Any], reason: str, folder: Path) -> None:
    say(folder, **values)
    with pytest.raises(StartError, match=f"config_sentence_transformers.json: {reason}"):
        resolve(folder)


def test_what_changes_nothing(folder: Path) -> None:
    before = fingerprint(resolve(folder))
    say(folder, __version__={"pytorch": "2"}, similarity_fn_name="dot", model_type="SentenceTransformer", prompts={})
    assert fingerprint(resolve(folder)) == before
    say(folder, requirements={"transformers": ">=5"}, default_prompt_name="query")  # that name is always there
    assert fingerprint(resolve(folder)) == before


def test_the_text_of_a_prompt_counts_in_the_fingerprint(folder: Path) -> None:
    prints = [fingerprint(resolve(folder, prompt=name)) for name in ("", "document", "query", "passage")]
    assert prints[0] == prints[1] == fingerprint(resolve(folder))
    assert len(set(prints)) == 3
    say(folder, prompts={"other": PROMPTS["query"]})
    assert fingerprint(resolve(folder, prompt="other")) == prints[2]  # the name does not
    write_json(folder / "1_Pooling" / "config.json", {"pooling_mode": "mean", "include_prompt": False})
    assert fingerprint(resolve(folder, prompt="other")) not in prints
    assert fingerprint(resolve(folder, prompt="")) == prints[0]


# -- cross-encoders ---------------------------------------------------------------------------------------------------

SCORES = {
    "transformer_task": "sequence-classification",
    "modality_config": {"text": {"method": "forward", "method_output_name": "logits"}},
    "module_output_name": "scores",
}


@pytest.fixture
def cross_encoder(torch_folder: Callable[..., Path], torch_weights: Weights) -> Callable[..., Path]:
    """Writes the tiny model with a head, as sentence-transformers saves a CrossEncoder since 5.4."""

    def write(labels: int, **values: Any) -> Path:
        head = {"weight": np.ones((labels, 48), np.float32), "bias": np.zeros(labels, np.float32)}
        weights = {f"bert.{name}": value for name, value in torch_weights.items()}
        weights |= {f"classifier.{name}": value for name, value in head.items()}
        about = {"architectures": ["BertForSequenceClassification"], "id2label": dict(enumerate("abc"[:labels]))}
        folder = torch_folder(weights, **about)
        write_modules(folder, [])
        write_json(folder / "sentence_bert_config.json", SCORES)
        say(folder, model_type="CrossEncoder", **values)
        return folder

    return write


def test_a_cross_encoder(cross_encoder: Callable[..., Path]) -> None:
    config = resolve(cross_encoder(1, prompts={"query": "find: "}, default_prompt_name="query"))
    assert config.pooling_strategy is PoolingStrategy.REGRESSION
    assert (config.max_seq_len, config.vector_bytes, config.prompt_text) == (64, 4, "find: ")


@pytest.mark.parametrize("function", [None, "torch.nn.modules.linear.Identity", "torch.nn.modules.activation.Sigmoid"])
def test_what_the_score_of_a_cross_encoder_goes_through(
    function: str | None, cross_encoder: Callable[..., Path]
) -> None:
    model = find_model(resolve(cross_encoder(1, activation_fn=function)))
    assert model.shape.head.score == ("identity" if function and "Identity" in function else "sigmoid")


def test_a_cross_encoder_with_several_labels(cross_encoder: Callable[..., Path]) -> None:
    config = resolve(cross_encoder(3, activation_fn="torch.nn.modules.linear.Identity"))
    assert (config.pooling_strategy, config.num_labels) == (PoolingStrategy.LOGITS, 3)
    say(Path(config.model_dir), model_type="CrossEncoder", activation_fn="torch.nn.modules.activation.Sigmoid")
    with pytest.raises(StartError, match=r"activation_fn is .*Sigmoid, and several labels have only torch's Identity"):
        resolve(Path(config.model_dir))
    assert resolve(Path(config.model_dir), pooling_strategy="LOGITS").pooling_strategy is PoolingStrategy.LOGITS


def test_what_makes_no_sense_in_a_cross_encoder(cross_encoder: Callable[..., Path]) -> None:
    folder = cross_encoder(1)
    write_json(folder / "sentence_bert_config.json", {"transformer_task": "feature-extraction"})
    with pytest.raises(StartError, match=r"transformer_task is .feature-extraction., but only .sequence-class"):
        resolve(folder)
    write_json(folder / "sentence_bert_config.json", SCORES)
    write_modules(folder, [("Pooling", {})])
    with pytest.raises(StartError, match="lists a Pooling, which makes no sense in a CrossEncoder"):
        resolve(folder)


def test_a_folder_without_pooling_has_to_be_told(folder: Path) -> None:
    write_modules(folder, [])
    with pytest.raises(StartError, match=r"lists no Pooling after the Transformer: give -pooling_strategy"):
        resolve(folder)
    assert resolve(folder, pooling_strategy="CLS_TOKEN").pooling_layer == (-2,)
