"""`-dtype int8`: its product's numbers, how near vectors stay to float32, and where it is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from architectures import ARCHITECTURES
from folders import TINY
from minilm import MINILM_TEXTS

from bert_serving.server.config import ServerConfig
from bert_serving.server.engine import (
    calibration,
    cpu,
    graph,
    graph_cache,
    graph_file,
    int8_products,
    precision,
    tensorflow_engine,
)
from bert_serving.server.engine.quantization import LARGEST, error_of, plan_for, quantized
from bert_serving.server.engine.tensors import load_tensorflow
from bert_serving.server.errors import ConfigError, StartError
from bert_serving.server.poolings import PoolingStrategy
from bert_serving.server.wanted import PooledView, TextOptions, Wanted

needs_vnni = pytest.mark.skipif(not cpu.has_products("int8"), reason="this CPU has no instructions for int8")
TEXTS = [*precision.SENTENCES, "hello", "a longer text than that, " * 8]


def config(**options: Any) -> ServerConfig:
    return ServerConfig.from_mapping({"model_dir": str(TINY), "cpu": True, "dtype": "int8", **options})


def hide_flags(monkeypatch: pytest.MonkeyPatch, *left: str) -> None:
    """As if the CPU had no features but these."""
    for module in (cpu, graph_cache):
        monkeypatch.setattr(module, "cpu_flags", lambda: [*left])


def vectors_of(engine: Any, texts: list[str], wanted: Wanted | None = None) -> Any:
    return np.stack([np.asarray(engine.run([row])[0], np.float64) for row in engine.features(texts, wanted)])


def run(make: Any, x: Any) -> Any:
    """What a graph of one input makes of it, by a session of its own."""
    tf = load_tensorflow()
    whole = tf.Graph()
    with whole.as_default():
        held = tf.compat.v1.placeholder(tf.float32, [None, x.shape[1]])
        made = make(tf, held)
    with tf.compat.v1.Session(graph=whole) as session:
        return session.run(made, {held: x})


@needs_vnni
@pytest.mark.parametrize("tokens", [1, 7, 300])
def test_a_product_is_that_of_whole_numbers(tokens: int) -> None:
    rng = np.random.default_rng(tokens)
    x, bias = rng.standard_normal((tokens, 96)).astype(np.float32), rng.standard_normal(160).astype(np.float32)
    for size in (1, 20):  # the second kernel differs from the first in its scales alone
        weights = quantized(size * np.random.default_rng(0).standard_normal((96, 160)).astype(np.float32))

        def make(tf: Any, held: Any, weights: Any = weights) -> Any:
            whole, scales = int8_products.rounded_by_token(held)
            return whole, scales, int8_products.product(whole, tf.constant(weights.kernel), weights.scales, bias)

        whole, scales, found = run(make, x)
        whole = whole.view(np.int8).astype(np.int64)
        largest = np.abs(x).max(axis=1, keepdims=True)
        np.testing.assert_array_equal(whole, np.rint(x * (np.float32(LARGEST) / largest)))
        np.testing.assert_allclose(scales, largest / LARGEST, rtol=1e-6)
        exact = (whole @ weights.kernel.astype(np.int64)) * weights.scales.astype(np.float64) + bias
        np.testing.assert_allclose(found, exact, rtol=1e-5, atol=1e-5 * np.abs(exact).max())


@needs_vnni
def test_what_is_beyond_a_fixed_range_is_cut() -> None:
    x = np.array([[0.4, -1.6, 300.0, -1e9]], np.float32)
    whole = run(lambda tf, held: int8_products.rounded(held, tf.constant(np.ones(4, np.float32))), x)
    assert whole.view(np.int8).tolist() == [[0, -2, LARGEST, -LARGEST]]


def test_a_row_of_zeros_stays_one() -> None:
    whole, scales = run(lambda tf, held: int8_products.rounded_by_token(held), np.zeros((2, 8), np.float32))
    assert not whole.view(np.int8).any()
    assert np.isfinite(scales).all()


def test_places_with_large_numbers_cost_others_little() -> None:
    rng = np.random.default_rng(0)
    inputs, kernel = rng.standard_normal((200, 64)).astype(np.float32), rng.standard_normal((64, 32)).astype(np.float32)
    inputs[:, 3] *= 50
    ((columns,),) = [plan_for("layer_0/qkv", inputs, kernel, 1.0).values()]
    exact = inputs @ kernel
    rest = np.linalg.norm(exact - exact.mean(axis=0))
    assert columns is not None
    assert error_of(inputs, kernel, columns) * np.linalg.norm(exact) < 0.05 * rest


def test_a_product_that_loses_too_much_is_left_out() -> None:
    inputs = np.array([[1e4, 1.0], [1e4, -1.0]], np.float32)
    kernel = np.array([[0.0], [1.0]], np.float32)
    assert plan_for("layer_0/output", inputs, kernel, 0.05) == {}


@needs_vnni
@pytest.mark.parametrize("name", ["bert", "mpnet", "modernbert", "roberta", "albert", "nomic_bert", "distilbert"])
def test_families_stay_near_float32(load_engine: Any, name: str) -> None:
    folder = str(next(path for path in sorted(ARCHITECTURES.iterdir()) if path.name.startswith(name)))
    exact, int8 = (load_engine(model_dir=folder, dtype=dtype) for dtype in ("float32", "int8"))
    assert int8.fingerprint != exact.fingerprint
    assert precision.worst_cosine(vectors_of(exact, TEXTS), vectors_of(int8, TEXTS)) > 0.995


@needs_vnni
def test_a_real_model_stays_near_float32(load_engine: Any, minilm: Path) -> None:
    texts = [*precision.SENTENCES, *MINILM_TEXTS[::5]]
    exact, int8 = (load_engine(model_dir=str(minilm), dtype=dtype) for dtype in ("float32", "int8"))
    assert precision.worst_cosine(vectors_of(exact, texts), vectors_of(int8, texts)) > 0.99


@needs_vnni
def test_products_that_lose_too_much_stay_in_floats(
    load_engine: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))  # its own graph, and no one's after it
    monkeypatch.setattr(calibration, "MOST_ERROR", 0.0)
    engine = load_engine(pooling_strategy="REDUCE_MEAN", dtype="int8", graph_tmp_dir=str(tmp_path))
    exact = load_engine(pooling_strategy="REDUCE_MEAN")
    assert precision.worst_cosine(vectors_of(exact, TEXTS), vectors_of(engine, TEXTS)) > 0.9995


@needs_vnni
def test_a_cpu_without_bfloat16_has_attention_in_float32(
    load_engine: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(graph, "is_fast_here", lambda dtype: False)
    engine = load_engine(pooling_strategy="REDUCE_MEAN", dtype="int8", graph_tmp_dir=str(tmp_path))
    exact = load_engine(pooling_strategy="REDUCE_MEAN")
    assert precision.worst_cosine(vectors_of(exact, TEXTS), vectors_of(engine, TEXTS)) > 0.99


@needs_vnni
def test_a_row_does_not_depend_on_its_batch(load_engine: Any, minilm: Path) -> None:
    engine = load_engine(model_dir=str(minilm), dtype="int8")
    rows = engine.features(TEXTS)
    together = engine.run(rows)
    alone = np.concatenate([engine.run([row]) for row in rows])
    np.testing.assert_allclose(together, alone, atol=2e-3)


@needs_vnni
@pytest.mark.parametrize(
    "strategy", [one.name for one in (PoolingStrategy.CLS_POOLED, PoolingStrategy.REDUCE_MEAN_MAX)]
)
def test_poolings_and_layers(load_engine: Any, strategy: str) -> None:
    options = {"pooling_strategy": strategy, "pooling_layer": [-1, -2]}
    exact, int8 = (load_engine(dtype=dtype, **options) for dtype in ("float32", "int8"))
    assert precision.worst_cosine(vectors_of(exact, TEXTS), vectors_of(int8, TEXTS)) > 0.99


@needs_vnni
def test_views(load_engine: Any) -> None:
    exact, int8 = (load_engine(dtype=dtype, pooling_strategy="REDUCE_MEAN") for dtype in ("float32", "int8"))
    asked = Wanted((PooledView((PoolingStrategy.REDUCE_MAX,), (-3,), normalize=False),), TextOptions())
    assert precision.worst_cosine(vectors_of(exact, TEXTS, asked), vectors_of(int8, TEXTS, asked)) > 0.99
    assert int8.fingerprint_with(asked) != exact.fingerprint_with(asked)


@needs_vnni
def test_weights_travel_as_whole_numbers(tmp_path: Path, minilm: Path) -> None:
    wanted = tensorflow_engine.resolve(config(model_dir=str(minilm), graph_tmp_dir=str(tmp_path)))
    prepared = Path(tensorflow_engine.prepare(wanted, lambda line: None))
    tf = load_tensorflow()
    held = graph_file.read_graph_file(prepared, lambda name: tf.as_dtype(name).as_numpy_dtype).weights
    kinds = {name: array.dtype.name for name, array in held.items()}
    assert kinds["embeddings/word"] == "bfloat16"
    assert {kind for name, kind in kinds.items() if name.startswith("layer_")} == {"int8"}


@pytest.mark.parametrize("flags", [[], ["avx2", "fma"], ["avx512f", "avx512bw"]])
def test_a_cpu_without_the_instructions_is_refused(monkeypatch: pytest.MonkeyPatch, flags: list[str]) -> None:
    hide_flags(monkeypatch, *flags)
    with pytest.raises(ConfigError, match=r"needs a CPU with AVX512-VNNI.*: take -dtype auto"):
        tensorflow_engine.resolve(config())


@needs_vnni
def test_a_graph_for_another_cpu_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    wanted = tensorflow_engine.resolve(config(graph_tmp_dir=str(tmp_path)))
    prepared = tensorflow_engine.prepare(wanted, lambda line: None)
    hide_flags(monkeypatch, "avx2")
    with pytest.raises(StartError, match="this machine's CPU does not: start with -dtype float32"):
        tensorflow_engine.load(wanted, prepared, 1, lambda line: None)


@needs_vnni
def test_a_tensorflow_without_the_op_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(int8_products, "QUANTIZED_OP", "_NoSuchMatMul")
    with pytest.raises(StartError, match=r"multiplies nothing in int8 .*: take -dtype auto"):
        int8_products.require_int8()


@needs_vnni
def test_wrong_products_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(int8_products, "_worst_error", lambda: 0.15)
    with pytest.raises(StartError, match=r"are wrong by 0.15 of their size: take -dtype auto"):
        int8_products.require_int8()


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"xla": True}, "-xla and -dtype int8 cannot be combined"),
        ({"fp16": True}, "-fp16 and -dtype int8 cannot be combined"),
        ({"cpu": False}, "-dtype int8 is for CPUs: start with -cpu"),
    ],
)
def test_options_that_exclude_it(options: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        config(**options)
