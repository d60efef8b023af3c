"""The reference of `bert-serving-verify` by Hugging Face's transformers, against that by NumPy."""

from __future__ import annotations

import shlex
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from model_folders import Folder, Weights

from bert_serving.server.config import ServerConfig
from bert_serving.server.engine import tensorflow_engine
from bert_serving.server.engine.model_folder import find_model
from bert_serving.server.options import get_args_parser
from bert_serving.server.verify.hugging_face import TransformersEncoder
from bert_serving.server.verify.plain_encoder import PlainEncoder
from bert_serving.server.verify.reference import reference_vectors
from bert_serving.server.verify.sentences import SENTENCES

pytest.importorskip("torch", exc_type=ImportError)
pytest.importorskip("transformers", exc_type=ImportError)

SETTINGS = [
    "",
    "-pooling_strategy NONE -max_seq_len NONE",
    "-pooling_strategy NONE -fixed_embed_length -mask_cls_sep",
    "-pooling_strategy REDUCE_MEAN_MAX -pooling_layer -1 -3 -normalize",
    "-pooling_strategy SEP_TOKEN -max_seq_len 12",
    "-pooling_strategy SEP_TOKEN -max_seq_len 13",
    "-pooling_strategy REDUCE_MAX -mask_cls_sep",
    "-pooling_strategy CLS_TOKEN -cased_tokenization",
    "-no_position_embeddings",
    "-pooling_strategy CLS_POOLED",
    "-pooling_strategy CLASSIFICATION -num_labels 3",
    "-pooling_strategy REGRESSION",
]


def resolved(folder: Path, words: list[str]) -> ServerConfig:
    args = get_args_parser().parse_args(["-model_dir", str(folder), *words])
    return tensorflow_engine.resolve(ServerConfig.from_mapping(vars(args)))


@pytest.mark.parametrize("words", SETTINGS, ids=lambda words: words or "defaults")
def test_transformers_and_numpy_agree(words: str, torch_folder: Folder, torch_weights: Weights) -> None:
    assert_agree(resolved(torch_folder(with_head(torch_weights, words)), shlex.split(words)))


@pytest.mark.parametrize("activation", ["gelu_new", "gelu_pytorch_tanh", "relu"])
def test_transformers_and_numpy_agree_on_activations(activation: str, torch_folder: Folder) -> None:
    assert_agree(resolved(torch_folder(hidden_act=activation, layer_norm_eps=1e-3), []))


@pytest.mark.parametrize("words", ["", "-no_normalize -max_seq_len NONE -pooling_layer -6 -1"])
def test_transformers_and_numpy_agree_on_a_real_model(words: str, minilm: Path) -> None:
    assert_agree(resolved(minilm, shlex.split(words)))


def with_head(weights: Weights, words: str) -> Weights:
    """The weights, prefixed and with a classifier as transformers saves it, if the options ask for one."""
    labels = 3 if "CLASSIFICATION" in words else 1
    if labels == 1 and "REGRESSION" not in words:
        return weights
    rng = np.random.default_rng(0)
    head = {
        "classifier.weight": rng.standard_normal((labels, 48)).astype(np.float32),
        "classifier.bias": rng.standard_normal(labels).astype(np.float32),
    }
    return {**{f"bert.{name}": value for name, value in weights.items()}, **head}


def assert_agree(config: ServerConfig) -> None:
    model = find_model(config)
    by_transformers = reference_vectors(config, TransformersEncoder(config, model), SENTENCES)
    by_numpy = reference_vectors(config, PlainEncoder(config, model), SENTENCES)
    for text, found, expected in zip(SENTENCES, by_transformers, by_numpy, strict=True):
        assert found.shape == expected.shape
        np.testing.assert_allclose(found, expected, atol=1e-5, rtol=0, err_msg=text)
    unlike = replace(config, no_position_embeddings=not config.no_position_embeddings)
    other = reference_vectors(unlike, TransformersEncoder(unlike, model), SENTENCES)
    assert max(np.abs(np.subtract(*pair)).max() for pair in zip(other, by_numpy, strict=True)) > 1e-3
