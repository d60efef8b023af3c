"""`-dtype`: bfloat16 stays close, `auto` takes it only if it is faster and close."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from folders import TINY

from bert_serving.server.config import ServerConfig
from bert_serving.server.engine import precision
from bert_serving.server.engine.model_folder import find_model


def config(**options: Any) -> ServerConfig:
    return ServerConfig.from_mapping({"model_dir": str(TINY), "cpu": True, **options})


def choose(monkeypatch: pytest.MonkeyPatch, *, fast: bool, cosine: float, gain: float, **options: Any) -> str:
    """What is chosen where bfloat16 has that cosine to float32 and takes 1 / gain of its time."""
    angle = np.arccos(cosine)
    measured = {
        "float32": (np.array([[1.0, 0.0]]), 1.0),
        "bfloat16": (np.array([[np.cos(angle), np.sin(angle)]]), 1 / gain),
    }
    monkeypatch.setattr(precision, "_is_fast_here", lambda dtype: fast)
    monkeypatch.setattr(precision, "GraphSession", lambda graph, config: graph)
    monkeypatch.setattr(precision, "_measure", lambda session, batch: measured[session])
    chosen = config(**options)
    return precision.choose_dtype(chosen, find_model(chosen), lambda dtype: dtype, lambda line: None)


@pytest.mark.parametrize(
    ("fast", "cosine", "gain", "chosen"),
    [
        (True, 0.9999, 2.0, "bfloat16"),
        (True, 0.9997, 2.0, "float32"),
        (True, 0.9999, 0.9, "float32"),
        (False, 0.9999, 2.0, "float32"),
    ],
)
def test_auto(monkeypatch: pytest.MonkeyPatch, fast: bool, cosine: float, gain: float, chosen: str) -> None:
    assert choose(monkeypatch, fast=fast, cosine=cosine, gain=gain, dtype="auto") == chosen


@pytest.mark.parametrize(
    ("options", "chosen"),
    [
        ({}, "float32"),
        ({"dtype": "bfloat16"}, "bfloat16"),
        ({"dtype": "float16"}, "float16"),
        ({"fp16": True}, "float16"),
    ],
)
def test_what_was_asked_for_is_taken(monkeypatch: pytest.MonkeyPatch, options: dict[str, Any], chosen: str) -> None:
    assert choose(monkeypatch, fast=True, cosine=0.0, gain=0.1, **options) == chosen


def test_the_worst_row_counts() -> None:
    left = np.array([[1.0, 0.0], [0.0, 2.0], [0.0, 0.0]])
    right = np.array([[3.0, 0.0], [1.0, 1.0], [0.0, 0.0]])
    assert precision.worst_cosine(left, right) == pytest.approx(0.5**0.5)


@pytest.mark.parametrize("strategy", ["REDUCE_MEAN", "NONE"])
def test_bfloat16_stays_close(load_engine: Any, strategy: str) -> None:
    found = []
    for dtype in ("float32", "bfloat16"):
        engine = load_engine(pooling_strategy=strategy, dtype=dtype)
        rows = [row for row in engine.features(list(precision.SENTENCES)) if not isinstance(row, str)]
        vectors = np.concatenate([np.atleast_2d(vector) for vector in engine.run(rows)])
        assert vectors.dtype == np.float32
        found.append(vectors.astype(np.float64))
    assert precision.worst_cosine(*found) > 0.999
