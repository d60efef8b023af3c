"""`-dtype`: bfloat16 stays close, `auto` takes it only if it is faster and close."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from folders import TINY

from bert_serving.server.config import ServerConfig
from bert_serving.server.engine import cpu, graph_cache, precision, tensorflow_engine
from bert_serving.server.engine.model_folder import find_model
from bert_serving.server.errors import StartError


def config(**options: Any) -> ServerConfig:
    return ServerConfig.from_mapping({"model_dir": str(TINY), "cpu": True, **options})


def choose(monkeypatch: pytest.MonkeyPatch, *, fast: bool, cosine: float, gain: float, **options: Any) -> str:
    """What is chosen where bfloat16 has that cosine to float32 and takes 1 / gain of its time."""
    angle = np.arccos(cosine)
    measured = {
        "float32": (np.array([[1.0, 0.0]]), 1.0),
        "bfloat16": (np.array([[np.cos(angle), np.sin(angle)]]), 1 / gain),
    }
    monkeypatch.setattr(precision, "is_fast_here", lambda dtype: fast)
    monkeypatch.setattr(precision, "_measure", lambda session, batch: measured[session])
    chosen = config(**options)
    return precision.choose_dtype(chosen, find_model(chosen), lambda dtype: cast(Any, dtype), lambda line: None)


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


def hide_flags(monkeypatch: pytest.MonkeyPatch, *left: str) -> None:
    """As if the CPU had no features but these."""
    for module in (cpu, graph_cache):
        monkeypatch.setattr(module, "cpu_flags", lambda: [*left])


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@pytest.mark.parametrize("flags", [[], ["avx2", "fma"]])
def test_a_cpu_without_products_of_a_type_computes_by_public_ops(
    load_engine: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, dtype: str, flags: list[str]
) -> None:
    texts = ["hello world", "a longer text than that"]
    whole = load_engine(pooling_strategy="REDUCE_MEAN")
    expected = whole.run(whole.features(texts))
    hide_flags(monkeypatch, *flags)
    half = load_engine(pooling_strategy="REDUCE_MEAN", dtype=dtype, graph_tmp_dir=str(tmp_path))
    assert precision.worst_cosine(expected, half.run(half.features(texts)).astype(np.float64)) > 0.999


@pytest.mark.skipif(not cpu.has_products("bfloat16"), reason="this CPU multiplies no bfloat16")
def test_a_graph_for_another_cpu_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    wanted = tensorflow_engine.resolve(config(dtype="bfloat16", graph_tmp_dir=str(tmp_path)))
    prepared = tensorflow_engine.prepare(wanted, lambda line: None)
    hide_flags(monkeypatch, "avx2")
    with pytest.raises(StartError, match="this machine's CPU does not: start with -dtype float32"):
        tensorflow_engine.load(wanted, prepared, 1, lambda line: None)
