"""How many bytes a text takes in an answer, by what the model's folder and the options say."""

from __future__ import annotations

from typing import Any

import pytest

from bert_serving.client.options import NO_OPTIONS
from bert_serving.server.config import ModelFacts, ServerConfig
from bert_serving.server.engine.footprint import vector_bytes
from bert_serving.server.poolings import PoolingStrategy
from bert_serving.server.wanted import row_bytes

FACTS = ModelFacts(layers=4, kept_layers=4, hidden=48)


def config(strategy: str, **options: Any) -> ServerConfig:
    return ServerConfig(model_dir="x", pooling_strategy=PoolingStrategy[strategy], facts=FACTS, **options)


@pytest.mark.parametrize(
    ("asked", "width"),
    [
        (config("REDUCE_MEAN"), 48),
        (config("REDUCE_MEAN", pooling_layer=(-1, -2)), 96),
        (config("REDUCE_MEAN_MAX"), 96),
        (config("REDUCE_MEAN_MAX", pooling_layer=(-1, -2)), 192),
        (config("CLS_TOKEN"), 48),
        (config("CLS_POOLED", pooling_layer=(-1, -2)), 48),
        (config("CLASSIFICATION", num_labels=5), 5),
        (config("REGRESSION", num_labels=5), 1),
        (config("NONE", pooling_layer=(-1, -2)), 96),
    ],
    ids=range(9),
)
def test_the_width_of_a_vector(asked: ServerConfig, width: int) -> None:
    assert vector_bytes(asked) == 4 * width


def test_half_precision_is_half_as_large() -> None:
    assert vector_bytes(config("REDUCE_MEAN", fp16=True)) == 2 * 48


@pytest.mark.parametrize(
    ("asked", "vectors"),
    [
        (config("REDUCE_MEAN", max_positions=64, vector_bytes=4), 1),
        (config("NONE", max_positions=64, vector_bytes=4), 25),
        (config("NONE", max_positions=64, vector_bytes=4, fixed_embed_length=True), 64),
        (config("NONE", max_positions=64, vector_bytes=4, max_seq_len=None), 12),
        (config("NONE", max_positions=64, vector_bytes=4, max_seq_len=None, prompts=(("q", "of: "),), prompt="q"), 16),
        (config("NONE", max_positions=8, vector_bytes=4, max_seq_len=None), 8),
        (config("NONE", vector_bytes=4, max_seq_len=None), 12),
        (config("NONE", max_positions=64), 0),
    ],
    ids=range(8),
)
def test_what_a_text_of_ten_characters_takes(asked: ServerConfig, vectors: int) -> None:
    assert row_bytes(asked, NO_OPTIONS, 10) == 4 * vectors
