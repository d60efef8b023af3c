"""How many bytes a text takes in an answer, by what the model's folder and the options say."""

from __future__ import annotations

from typing import Any

import pytest

from bert_serving.server.config import PoolingStrategy, ServerConfig
from bert_serving.server.engine.architectures.base import EncoderShape
from bert_serving.server.engine.footprint import vector_bytes

SHAPE = EncoderShape(
    hidden=48, layers=4, heads=4, intermediate=64, vocab=100, positions=64, types=2, activation="gelu", epsilon=1e-12
)


def config(strategy: str, **options: Any) -> ServerConfig:
    return ServerConfig(model_dir="x", pooling_strategy=PoolingStrategy[strategy], **options)


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
    assert vector_bytes(asked, SHAPE) == 4 * width


def test_half_precision_is_half_as_large() -> None:
    assert vector_bytes(config("REDUCE_MEAN", fp16=True), SHAPE) == 2 * 48


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
    assert asked.row_bytes(10) == 4 * vectors
