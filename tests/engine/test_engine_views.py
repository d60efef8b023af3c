"""Views that a request asks for: bit by bit what an engine gives that was started with their options."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from folders import GOLDEN
from model_folders import TEXTS, Load
from numpy.testing import assert_allclose, assert_array_equal

from bert_serving.client.options import Options
from bert_serving.client.views import View
from bert_serving.server.config import ServerConfig
from bert_serving.server.engine.contract import Row
from bert_serving.server.engine.micro_batch import collate
from bert_serving.server.engine.tensorflow_engine import TensorFlowEngine
from bert_serving.server.wanted import Wanted, wanted_of

TOKENS = ["REDUCE_MEAN", "REDUCE_MAX", "REDUCE_MEAN_MAX", "FIRST_TOKEN", "LAST_TOKEN", "REDUCE_MEAN_SQRT",
          "WEIGHTED_MEAN"]  # fmt: skip
LONG = "a sentence that has some more words in it than those that others have " * 3


def wanted(config: ServerConfig, *views: View, **options: Any) -> Wanted:
    return wanted_of(config, Options(views=views or None, **options))


def config_of(engine: TensorFlowEngine) -> ServerConfig:
    return engine._config


def rows(engine: TensorFlowEngine, texts: Sequence[str], asked: Wanted | None = None) -> list[Row]:
    made = engine.features(texts, asked)
    assert all(isinstance(row, Row) for row in made), made
    return [row for row in made if isinstance(row, Row)]


@pytest.fixture
def engine(load_engine: Load) -> TensorFlowEngine:
    return load_engine(keep_layers=True)


@pytest.mark.parametrize("strategy", TOKENS)
@pytest.mark.parametrize("layers", [[-1], [-3], [-1, -4, -2]], ids=str)
def test_a_view_is_what_another_start_gives(
    engine: TensorFlowEngine, load_engine: Load, strategy: str, layers: list[int]
) -> None:
    started = load_engine(pooling_strategy=strategy, pooling_layer=layers)
    asked = wanted(config_of(engine), View(strategy, layers))
    for texts in (TEXTS[:1], TEXTS, [*TEXTS * 9, LONG]):
        assert_array_equal(engine.run(rows(engine, texts, asked)), started.run(rows(started, texts)))
    assert engine.fingerprint_with(asked) == started.fingerprint != engine.fingerprint


@pytest.mark.parametrize(
    ("view", "options"),
    [
        (View("CLS_POOLED"), {"pooling_strategy": "CLS_POOLED"}),
        (View(normalize=True), {"normalize": True}),
        (View("REDUCE_MAX", [-1, -2], True), {"pooling_strategy": "REDUCE_MAX", "pooling_layer": [-1, -2],
                                              "normalize": True}),
        (View(layers=[-2]), {}),
    ],
    ids=str,
)  # fmt: skip
def test_more_views_as_started(
    engine: TensorFlowEngine, load_engine: Load, view: View, options: dict[str, Any]
) -> None:
    started = load_engine(**options)
    asked = wanted(config_of(engine), view)
    assert_array_equal(engine.run(rows(engine, TEXTS, asked)), started.run(rows(started, TEXTS)))
    assert engine.fingerprint_with(asked) == started.fingerprint


@pytest.mark.parametrize("started_for", ["NONE", "REDUCE_MAX"])
@pytest.mark.parametrize("folder", ["st_dense", "st_last_token", "st_prompts", "st_weighted_mean"])
def test_a_view_as_the_folder_pools_is_what_it_gives_by_itself(
    load_engine: Load, folder: str, started_for: str
) -> None:
    folder = str(GOLDEN / "architectures" / folder)
    by_itself, other = load_engine(model_dir=folder), load_engine(model_dir=folder, pooling_strategy=started_for)
    asked = wanted(config_of(other), View(config_of(by_itself).pooling_strategy.name))
    assert_array_equal(other.run(rows(other, TEXTS, asked)), by_itself.run(rows(by_itself, TEXTS)))
    assert other.fingerprint_with(asked) == by_itself.fingerprint


def test_a_view_normalizes_nothing_where_the_start_says_so(load_engine: Load) -> None:
    folder = {"model_dir": str(GOLDEN / "architectures" / "st_last_token"), "no_normalize": True}
    by_itself, other = load_engine(**folder), load_engine(**folder, pooling_strategy="NONE")
    asked = wanted(config_of(other), View("LAST_TOKEN"))
    assert_array_equal(other.run(rows(other, TEXTS, asked)), by_itself.run(rows(by_itself, TEXTS)))
    assert other.fingerprint_with(asked) == by_itself.fingerprint


def test_token_vectors_as_started(engine: TensorFlowEngine, load_engine: Load) -> None:
    started = load_engine(pooling_strategy="NONE", pooling_layer=[-1, -3])
    asked = wanted(config_of(engine), View("NONE", [-1, -3]))
    found, expected = engine.run(rows(engine, TEXTS, asked)), started.run(rows(started, TEXTS))
    for one, other in zip(found, expected, strict=True):
        assert_array_equal(one, other)


def test_several_views_lie_side_by_side(engine: TensorFlowEngine, load_engine: Load) -> None:
    views = View("REDUCE_MAX", [-1]), View("FIRST_TOKEN", [-4], True), View()
    found = engine.run(rows(engine, TEXTS, wanted(config_of(engine), *views)))
    options: list[dict[str, Any]] = [
        {"pooling_strategy": "REDUCE_MAX", "pooling_layer": [-1]},
        {"pooling_strategy": "FIRST_TOKEN", "pooling_layer": [-4], "normalize": True},
        {},
    ]
    started = [load_engine(**each) for each in options]
    expected = [each.run(rows(each, TEXTS)) for each in started]
    assert_array_equal(found, np.concatenate(expected, axis=1))


def test_rows_of_different_views_share_a_micro_batch(engine: TensorFlowEngine) -> None:
    config = config_of(engine)
    asked = [None, wanted(config, View("REDUCE_MAX", [-1])), wanted(config, View("NONE", [-4])),
             wanted(config, View(dimensions=5), View("LAST_TOKEN"))]  # fmt: skip
    mixed = [row for one in asked for row in rows(engine, [*TEXTS, LONG], one)]
    order = np.random.default_rng(5).permutation(len(mixed))
    together = engine.run([mixed[place] for place in order])
    alone = [engine.run([row])[0] for row in mixed]
    for place, vector in zip(order, together, strict=True):
        assert_allclose(vector, alone[place], rtol=0, atol=2e-6)
    for number, text in enumerate([*TEXTS, LONG]):
        assert_array_equal(alone[number], engine.run(rows(engine, [text]))[0])


def test_dimensions_are_cut_before_the_length_becomes_one(engine: TensorFlowEngine) -> None:
    config = config_of(engine)
    whole = np.asarray(engine.run(rows(engine, TEXTS)))
    cut = engine.run(rows(engine, TEXTS, wanted(config, View(dimensions=7))))
    assert_array_equal(cut, whole[:, :7])
    scaled = engine.run(rows(engine, TEXTS, wanted(config, View(dimensions=7, normalize=True))))
    assert_allclose(scaled, whole[:, :7] / np.linalg.norm(whole[:, :7], axis=1, keepdims=True), rtol=0, atol=1e-6)


def test_a_lower_layer_computes_no_higher_one(engine: TensorFlowEngine) -> None:
    batch_rows = rows(engine, TEXTS)
    batch = collate(batch_rows)
    layers = engine._session.run_layers(batch, 2)
    assert [layer.shape for layer in layers] == [(sum(row.length for row in batch_rows), 48)] * 2
    everything = engine._session._run_layers(batch.ids, batch.type_ids, batch.mask, np.int32(2))
    assert [len(layer) for layer in everything[2:]] == [0, 0]


def test_more_views_than_are_kept_ready_begin_anew(engine: TensorFlowEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bert_serving.server.engine.view_pools.MOST_VIEWS", 3)
    config = config_of(engine)
    whole = np.asarray(engine.run(rows(engine, TEXTS)))
    for dimensions in (*range(1, 9), *range(1, 9)):
        found = engine.run(rows(engine, TEXTS, wanted(config, View(dimensions=dimensions))))
        assert_array_equal(found, whole[:, :dimensions])
    assert len(engine._views._ready) <= 3


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_views_in_other_number_types(load_engine: Load, dtype: str) -> None:
    engine, started = load_engine(dtype=dtype), load_engine(dtype=dtype, pooling_strategy="REDUCE_MAX")
    asked = wanted(config_of(engine), View("REDUCE_MAX"))
    assert_array_equal(engine.run(rows(engine, TEXTS, asked)), started.run(rows(started, TEXTS)))


def test_the_first_views_may_take_as_long_as_a_start(load_engine: Load) -> None:
    engine = load_engine(keep_layers=True, pooling_strategy="LAST_TOKEN")
    own, others = rows(engine, TEXTS), rows(engine, TEXTS, wanted(config_of(engine), View(layers=[-1])))
    engine.run(own)
    assert (engine.compiles(own), engine.compiles(others)) == (False, True)
    engine.run(others)
    assert not engine.compiles(others)


def test_views_with_xla(load_engine: Load) -> None:
    engine = load_engine(xla=True, keep_layers=True)
    started = load_engine(pooling_strategy="REDUCE_MAX", pooling_layer=[-3])
    found = engine.run(rows(engine, TEXTS, wanted(config_of(engine), View("REDUCE_MAX", [-3]))))
    assert_allclose(found, started.run(rows(started, TEXTS)), rtol=0, atol=1e-5)


def _is_served(folder: Path) -> bool:
    return '"deberta-v2"' not in (folder / "config.json").read_text()


FAMILIES = sorted(
    path.name for path in (GOLDEN / "architectures").iterdir() if (path / "config.json").is_file() and _is_served(path)
)


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_gives_views(load_engine: Load, family: str) -> None:
    folder = str(GOLDEN / "architectures" / family)
    engine = load_engine(model_dir=folder, keep_layers=True)
    for layers in ([-1], [-2]):
        started = load_engine(model_dir=folder, pooling_strategy="REDUCE_MEAN", pooling_layer=layers)
        asked = wanted(config_of(engine), View("REDUCE_MEAN", layers))
        assert_array_equal(engine.run(rows(engine, TEXTS, asked)), started.run(rows(started, TEXTS)))


HEADS = [family for family in FAMILIES if family.startswith("cross")]


@pytest.mark.parametrize("family", HEADS)
def test_a_head_gives_views_beside_vectors(load_engine: Load, family: str) -> None:
    folder = str(GOLDEN / "architectures" / family)
    engine = load_engine(model_dir=folder, pooling_strategy="REDUCE_MEAN")
    assert config_of(engine).labels
    started = load_engine(model_dir=folder, pooling_strategy="LOGITS")
    asked = wanted(config_of(engine), View("LOGITS"))
    assert_array_equal(engine.run(rows(engine, TEXTS, asked)), started.run(rows(started, TEXTS)))
    assert engine.fingerprint_with(asked) == started.fingerprint
