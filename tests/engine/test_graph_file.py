"""The file of a graph: weights are mapped and not read, and what is cut, half there or left over is found out."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from folders import TINY
from model_folders import vectors

from bert_serving.server.config import ServerConfig
from bert_serving.server.engine import precision, products, tensorflow_engine
from bert_serving.server.engine.graph_file import GraphFileWriter, is_whole, read_graph_file
from bert_serving.server.engine.session import load_graph
from bert_serving.server.engine.tensorflow_engine import TensorFlowEngine
from bert_serving.server.engine.tensors import load_tensorflow
from bert_serving.server.engine.variables import as_variables, fill
from bert_serving.server.errors import StartError

Load = Callable[..., TensorFlowEngine]
MIB = 2**20


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No graphs of earlier tests."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "bert-serving"


@pytest.fixture
def arrays() -> dict[str, Any]:
    rng = np.random.default_rng(0)
    half = load_tensorflow().bfloat16.as_numpy_dtype
    return {
        "layer_0/kernel": rng.standard_normal((7, 5)).astype(np.float32),
        "turned": rng.standard_normal((6, 4)).astype(np.float32).T,
        "layer_0/bias": rng.standard_normal(3).astype(np.float16),
        "half": rng.standard_normal((5, 3)).astype(half),
    }


@pytest.fixture
def path(tmp_path: Path, arrays: dict[str, Any]) -> Path:
    path = tmp_path / "a.graph"
    with path.open("wb") as stream:
        writer = GraphFileWriter(stream)
        for name, array in arrays.items():
            writer.add(name, array)
        writer.finish(b"the graph")
    return path


def dtype_of(name: str) -> Any:
    return load_tensorflow().as_dtype(name).as_numpy_dtype


def config_in(folder: Path, **options: Any) -> ServerConfig:
    folder.mkdir(exist_ok=True)
    given = {"model_dir": str(TINY), "cpu": True, "graph_tmp_dir": str(folder), **options}
    return tensorflow_engine.resolve(ServerConfig.from_mapping(given))


def memory(kind: str) -> int:
    """Of this process, in bytes."""
    found = re.search(rf"^{kind}:\s+(\d+) kB", Path("/proc/self/status").read_text(), re.M)
    assert found is not None
    return int(found[1]) * 1024


def test_arrays_come_back_as_they_were_where_tensorflow_need_not_copy_them(path: Path, arrays: dict[str, Any]) -> None:
    file = read_graph_file(path, dtype_of)
    assert file.graph == b"the graph"
    assert file.weights.keys() == arrays.keys()
    for name, array in file.weights.items():
        assert array.dtype == arrays[name].dtype
        np.testing.assert_array_equal(array, arrays[name])
        assert array.ctypes.data % 64 == 0
        assert not array.flags.writeable


@pytest.mark.parametrize("kind", ["its last byte", "its second half", "all", "a part within", "more behind it"])
def test_what_is_cut_is_named(path: Path, kind: str) -> None:
    assert is_whole(path)
    content = path.read_bytes()
    cut = {
        "its last byte": content[:-1],
        "its second half": content[: len(content) // 2],
        "all": b"",
        "a part within": content[:100] + content[164:],
        "more behind it": content + b"\n",
    }[kind]
    path.write_bytes(cut)
    assert not is_whole(path)
    with pytest.raises(StartError, match=r"a\.graph is not a graph, or is truncated"):
        read_graph_file(path, dtype_of)


def test_a_worker_maps_the_weights(tmp_path: Path) -> None:
    config = config_in(tmp_path / "graphs")
    prepared = tensorflow_engine.prepare(config, print)
    _, weights = load_graph(Path(prepared))
    assert {"embeddings/word", "layer_0/qkv/kernel"} <= weights.keys()
    del weights
    engine = tensorflow_engine.load(config, prepared, 1, print)
    assert prepared in Path("/proc/self/maps").read_text()
    engine.close()


def test_weights_take_no_memory_of_a_workers_own(tmp_path: Path) -> None:
    tf = load_tensorflow()
    array = np.ones((64 * MIB // 4096, 1024), np.float32)
    array[5] = 7
    path = tmp_path / "a.graph"
    graph = tf.Graph()
    with path.open("wb") as stream, graph.as_default():
        writer = GraphFileWriter(stream)
        tf.gather(as_variables(writer.add)("table", array, tf.float32), [5], name="vectors")
        writer.finish(graph.as_graph_def().SerializeToString())
    size = array.nbytes
    del array
    loaded, weights = load_graph(path)
    with tf.compat.v1.Session(graph=loaded) as session:
        before = memory("RssAnon")
        fill(session, weights)
        del weights
        np.testing.assert_array_equal(session.run("vectors:0"), np.full((1, 1024), 7))
        assert memory("RssAnon") - before < size / 2


def test_a_kept_graph_that_is_half_there_is_not_used(cache: Path, tmp_path: Path) -> None:
    config = config_in(tmp_path / "graphs")
    tensorflow_engine.prepare(config, print)
    (kept,) = cache.glob("*.graph")
    content = kept.read_bytes()
    kept.unlink()  # another name of what the first start wrote
    kept.write_bytes(content[: len(content) // 2])
    said: list[str] = []
    tensorflow_engine.prepare(config, said.append)
    assert any("building the graph" in line for line in said)
    assert is_whole(kept)


def test_a_run_keeps_its_graph_when_the_cache_drops_it(cache: Path, tmp_path: Path) -> None:
    tensorflow_engine.prepare(config_in(tmp_path / "first"), print)
    second = config_in(tmp_path / "second")
    prepared = tensorflow_engine.prepare(second, print)
    assert Path(prepared).parent == tmp_path / "second"
    (kept,) = cache.glob("*.graph")
    assert kept.samefile(prepared)
    kept.unlink()
    tensorflow_engine.load(second, prepared, 1, print).close()


def test_auto_leaves_one_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "is_fast_here", lambda dtype: True)
    prepared = tensorflow_engine.prepare(config_in(tmp_path / "graphs", dtype="auto"), print)
    assert list((tmp_path / "graphs").iterdir()) == [Path(prepared)]


def test_a_start_that_fails_leaves_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(writer: GraphFileWriter, graph: bytes) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(GraphFileWriter, "finish", fail)
    with pytest.raises(StartError, match=r"cannot be written to .*graphs.*No space left.*-graph_tmp_dir"):
        tensorflow_engine.prepare(config_in(tmp_path / "graphs"), print)
    assert list((tmp_path / "graphs").iterdir()) == []


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_graph_without_the_fused_product_gives_the_same_vectors(
    dtype: str, monkeypatch: pytest.MonkeyPatch, load_engine: Load, tmp_path: Path
) -> None:
    usual = load_engine(dtype=dtype)
    monkeypatch.setattr(products, "FUSED_OP", "_NoSuchOp")
    assert products.choose_product(load_tensorflow().float32, wanted=True) is None
    plain = load_engine(dtype=dtype, graph_tmp_dir=str(tmp_path))
    tolerance = 1e-5 if dtype == "float32" else 0.1
    np.testing.assert_allclose(vectors(plain), vectors(usual), rtol=0, atol=tolerance)


def test_the_fused_product_is_used_where_it_works() -> None:
    tf = load_tensorflow()
    assert products.choose_product(tf.float32, wanted=False) is None
    assert products.choose_product(tf.float32, wanted=True) is products.fused
