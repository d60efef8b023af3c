"""The graph: batch invariance, pruning, heads, normalisation, half precision, LayerNorm."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from folders import TINY
from model_folders import resolve

from bert_serving.server.config import ServerConfig
from bert_serving.server.engine import layer_norm, tensorflow_engine
from bert_serving.server.engine.contract import Row
from bert_serving.server.engine.encoder import SHARES
from bert_serving.server.engine.graph import build_graph
from bert_serving.server.engine.model_folder import find_model
from bert_serving.server.engine.pooling import extent_of
from bert_serving.server.engine.products import FUSED_OP, choose_product
from bert_serving.server.engine.tensorflow_engine import TensorFlowEngine
from bert_serving.server.engine.tensors import load_tensorflow
from bert_serving.server.engine.weights import load_weights
from bert_serving.server.errors import StartError
from bert_serving.server.poolings import PoolingStrategy

Load = Callable[..., TensorFlowEngine]
WHOLLY_HIDDEN = "\u0007"  # no tokens but [CLS] and [SEP]
TEXTS = ["hello world!", WHOLLY_HIDDEN, "First do it ||| then do it right", "the quick brown fox " * 5, "x", "你好么?"]


def rows_of(engine: TensorFlowEngine, texts: list[str] = TEXTS) -> list[Row]:
    return [row for row in engine.features(texts) if isinstance(row, Row)]


@pytest.mark.parametrize("mask_cls_sep", [False, True], ids=["visible", "mask_cls_sep"])
@pytest.mark.parametrize("strategy", sorted({strategy.name for strategy in PoolingStrategy} - {"REGRESSION", "LOGITS"}))
def test_a_row_does_not_depend_on_its_batch(strategy: str, mask_cls_sep: bool, load_engine: Load) -> None:
    labels = {"num_labels": 3} if strategy == "CLASSIFICATION" else {}
    engine = load_engine(pooling_strategy=strategy, mask_cls_sep=mask_cls_sep, max_seq_len=None, **labels)
    rows = rows_of(engine)
    for together in (rows, rows[::-1], rows * 7):
        vectors = engine.run(together)
        for row, vector in zip(together, vectors, strict=True):
            np.testing.assert_allclose(vector, engine.run([row])[0], rtol=0, atol=1e-5)
            assert np.isfinite(vector).all()
            assert np.abs(vector).max() < 100  # no remains of the numbers that hide tokens


def test_lanes_do_not_disturb_each_other(load_engine: Load) -> None:
    engine = load_engine()
    rows = rows_of(engine) * 4
    alone = [engine.run([row])[0] for row in rows]
    with ThreadPoolExecutor(engine.lanes) as lanes:
        for found, expected in zip(lanes.map(lambda row: engine.run([row])[0], rows), alone, strict=True):
            np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)


def test_unpooled_rows_have_their_own_length(load_engine: Load) -> None:
    engine = load_engine(pooling_strategy="NONE")
    rows = rows_of(engine)
    assert [row.shape for row in engine.run(rows)] == [(row.length, 48) for row in rows]


def graph_of(**options: Any) -> Any:
    config = ServerConfig.from_mapping({"model_dir": str(TINY), "cpu": True, **options})
    model = find_model(config)
    extent = extent_of(config, model.shape)
    return build_graph(config, model.shape, load_weights(model, extent), "float16" if config.fp16 else "float32")


@pytest.mark.parametrize(
    ("options", "layers", "more"),
    [
        pytest.param({"pooling_layer": [-1]}, 4, 0, id="last"),
        pytest.param({"pooling_layer": [-2]}, 3, 0, id="default"),
        pytest.param({"pooling_layer": [-4]}, 1, 0, id="first"),
        pytest.param({"pooling_layer": [-4, -2]}, 3, 0, id="highest counts"),
        pytest.param({"pooling_layer": [-4], "pooling_strategy": "CLS_POOLED"}, 4, 1, id="the pooler stands on all"),
    ],
)
def test_layers_that_nobody_asked_for_are_not_built(options: dict[str, Any], layers: int, more: int) -> None:
    names = [op.name.split("/") for op in graph_of(**options).get_operations() if op.type in ("MatMul", FUSED_OP)]
    products = Counter("/".join(name[:2]) if len(name) > 1 else "more" for name in names)
    # QKV in one, attention output, intermediate, output; a copy for few tokens, in shares, and one for many tokens; and
    # all of that again for the views that requests ask for
    shares = SHARES if choose_product(load_tensorflow().float32, wanted=True) else 1
    copies = [
        (f"{kind}/{size}", number) for kind in ("layers", "views") for size, number in (("few", shares), ("many", 1))
    ]
    assert [products.pop(copy) for copy, _ in copies] == [4 * layers * number for _, number in copies]
    assert products.total() == more


def test_copies_for_few_and_many_tokens_share_their_weights() -> None:
    shared = graph_of().as_graph_def().ByteSize()
    alone = graph_of(cpu=False).as_graph_def().ByteSize()
    assert shared < 1.1 * alone


@pytest.mark.parametrize("strategy", ["REDUCE_MEAN", "LAST_TOKEN", "NONE"])
def test_packed_and_padded_tokens_give_the_same(strategy: str, load_engine: Load) -> None:
    packed, padded = load_engine(pooling_strategy=strategy), load_engine(pooling_strategy=strategy, xla=True)
    for texts in (TEXTS, TEXTS * 7):
        rows = rows_of(packed, texts)
        for found, expected in zip(padded.run(rows), packed.run(rows), strict=True):
            np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)


def head(engine: TensorFlowEngine, pooler: TensorFlowEngine, weights: dict[str, Any]) -> tuple[Any, Any]:
    pooled = np.asarray(pooler.run(rows_of(pooler)), np.float64)
    return engine.run(rows_of(engine)), pooled @ weights["output_weights"].T + weights["output_bias"]


def test_classification(load_engine: Load, tiny_weights: dict[str, Any]) -> None:
    engine = load_engine(pooling_strategy="CLASSIFICATION", num_labels=3)
    found, logits = head(engine, load_engine(pooling_strategy="CLS_POOLED"), tiny_weights)
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(found, shares, rtol=0, atol=1e-6)


def test_regression(load_engine: Load, google_folder: Callable[..., Path], tiny_weights: dict[str, Any]) -> None:
    rng = np.random.default_rng(1)
    one = {
        "output_weights": rng.standard_normal((1, 48)).astype(np.float32),
        "output_bias": rng.standard_normal(1).astype(np.float32),
    }
    engine = load_engine(model_dir=str(google_folder(changed=one)), pooling_strategy="REGRESSION")
    found, logits = head(engine, load_engine(pooling_strategy="CLS_POOLED"), one)
    assert found.shape == (len(TEXTS), 1)
    np.testing.assert_allclose(found, 1 / (1 + np.exp(-logits)), rtol=0, atol=1e-6)


def test_normalize(load_engine: Load) -> None:
    plain, unit = load_engine(), load_engine(normalize=True)
    vectors = np.asarray(plain.run(rows_of(plain)))
    expected = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    np.testing.assert_allclose(unit.run(rows_of(unit)), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("strategy", ["REDUCE_MEAN", "REDUCE_MAX", "NONE"])
def test_half_precision(strategy: str, load_engine: Load) -> None:
    whole, half = load_engine(pooling_strategy=strategy), load_engine(pooling_strategy=strategy, fp16=True)
    for full, short in zip(whole.run(rows_of(whole)), half.run(rows_of(half)), strict=True):
        assert short.dtype == np.float16
        a, b = full.astype(np.float64).ravel(), short.astype(np.float64).ravel()
        assert a @ b / np.linalg.norm(a) / np.linalg.norm(b) > 0.9999


def test_weights_of_a_half_precision_graph_take_half_the_room() -> None:
    sizes = [graph_of(fp16=fp16).as_graph_def().ByteSize() for fp16 in (False, True)]
    assert sizes[1] < 0.55 * sizes[0]


def test_both_ways_of_layer_norm_agree() -> None:
    rng = np.random.default_rng(2)
    x, scale, offset = (rng.standard_normal(size).astype(np.float32) for size in ((7, 48), 48, 48))
    expected = (x - x.mean(1, keepdims=True)) / x.std(1, keepdims=True) * scale + offset
    for way in (layer_norm.plain, layer_norm.choose_layer_norm(cpu=True)):
        np.testing.assert_allclose(layer_norm._run(way, x, scale, offset), expected, rtol=0, atol=1e-5)


def test_layer_norm_without_the_private_op(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layer_norm, "FUSED_OP", "_NoSuchOp")
    assert layer_norm.choose_layer_norm(cpu=True) is layer_norm.plain
    assert layer_norm.choose_layer_norm(cpu=False) is layer_norm.plain


def test_a_graph_without_the_private_op_gives_the_same_vectors(
    monkeypatch: pytest.MonkeyPatch, load_engine: Load, tmp_path: Path
) -> None:
    usual = load_engine()
    monkeypatch.setattr(layer_norm, "fused", lambda *args: 1 / 0)
    plain = load_engine(graph_tmp_dir=str(tmp_path))
    np.testing.assert_allclose(plain.run(rows_of(plain)), usual.run(rows_of(usual)), rtol=0, atol=1e-5)


def test_weights_that_are_not_finite_stop_the_start(google_folder: Callable[..., Path]) -> None:
    name = "bert/embeddings/LayerNorm/beta"
    folder = google_folder(changed={name: np.full(48, np.nan, np.float32)})
    config = ServerConfig(model_dir=str(folder), cpu=True, graph_tmp_dir=str(folder))
    with pytest.raises(StartError, match="not finite"):
        tensorflow_engine.load(config, tensorflow_engine.prepare(config, print), 1, print)


@pytest.mark.parametrize("content", [None, b"no graph", b""], ids=["missing", "broken", "empty"])
def test_a_broken_graph_file_is_named(content: bytes | None, tmp_path: Path) -> None:
    path = tmp_path / "graph.pb"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(StartError, match=r"graph\.pb"):
        tensorflow_engine.load(ServerConfig(model_dir=str(TINY), cpu=True), str(path), 1, print)


def test_a_graph_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/dev/null")  # no graph of an earlier test
    config = ServerConfig(model_dir=str(TINY), cpu=True, graph_tmp_dir=str(tmp_path / "absent"))
    with pytest.raises(StartError, match=r"absent.*-graph_tmp_dir"):
        tensorflow_engine.prepare(config, print)


def test_progress_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/dev/null")  # no graph of an earlier test
    said: list[str] = []
    config = replace(ServerConfig(model_dir=str(TINY), cpu=True), graph_tmp_dir=str(tmp_path))
    prepared = tensorflow_engine.prepare(config, said.append)
    tensorflow_engine.load(config, prepared, 1, said.append).close()
    assert [sentence.split()[0] for sentence in said] == ["loading", "building", "the", "loading", "encoding"]
    assert list(tmp_path.iterdir()) == [Path(prepared)]


def test_a_prepared_graph_is_all_that_loading_needs(
    torch_folder: Callable[..., Path], load_engine: Load, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = torch_folder()
    (folder / "tokenizer_config.json").write_text(json.dumps({"do_lower_case": False}))
    config = resolve(folder, graph_tmp_dir=str(tmp_path_factory.mktemp("graphs")))
    expected = load_engine(cased_tokenization=True)
    prepared = tensorflow_engine.prepare(config, print)
    shutil.rmtree(folder)
    engine = tensorflow_engine.load(config, prepared, 1, print)
    rows = rows_of(engine)
    assert rows == rows_of(expected)
    np.testing.assert_allclose(engine.run(rows), expected.run(rows), rtol=0, atol=1e-5)
