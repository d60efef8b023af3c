"""Graphs are kept for later starts, by what they depend on, in a folder of this user alone."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from folders import TINY
from model_folders import copy_tiny

from bert_serving.server.config import ServerConfig
from bert_serving.server.engine import graph_cache, tensorflow_engine
from bert_serving.server.engine.fingerprint import ModelContent
from bert_serving.server.engine.graph_file import GraphFileWriter
from bert_serving.server.engine.model_folder import find_model


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "bert-serving"


def key(model_dir: Path = TINY, **options: Any) -> str:
    config = ServerConfig.from_mapping({"model_dir": str(model_dir), "cpu": True, **options})
    return graph_cache.graph_key(config, ModelContent.of(config, find_model(config)))


def written(folder: Path) -> Path:
    """A file as `prepare` writes it."""
    path = folder / "a.graph"
    with path.open("wb") as stream:
        writer = GraphFileWriter(stream)
        writer.add("weight", np.ones((3, 5), np.float32))
        writer.finish(b"graph")
    return path


@pytest.mark.parametrize(
    "options",
    [{"pooling_layer": [-1]}, {"pooling_strategy": "REDUCE_MAX"}, {"fp16": True}, {"cpu": False}, {"normalize": True}],
    ids=lambda options: next(iter(options)),
)
def test_what_changes_the_graph_changes_its_name(options: dict[str, Any]) -> None:
    assert key(**options) != key()


@pytest.mark.parametrize("options", [{"port": 7000}, {"num_worker": 3}, {"max_batch_size": 2}], ids=str)
def test_what_does_not_keeps_it(options: dict[str, Any]) -> None:
    assert key(**options) == key()


def test_other_weights_of_the_same_size_and_time_are_another_graph(tmp_path: Path) -> None:
    """As reproducible image layers and Nix have it, where every file is of 1970 or 1980."""
    model = tmp_path / "model"
    shutil.copytree(TINY, model)
    weights = model / "bert_model.ckpt.data-00000-of-00001"
    os.utime(weights, ns=(1, 1))
    before = key(model)
    content = bytearray(weights.read_bytes())
    content[len(content) // 2] ^= 1
    weights.write_bytes(content)
    os.utime(weights, ns=(1, 1))
    assert key(model) != before


def test_the_same_model_elsewhere_and_newer_is_the_same_graph(tmp_path: Path) -> None:
    model = tmp_path / "model"
    shutil.copytree(TINY, model)
    assert key(model) == key()


def test_another_vocabulary_is_another_graph(tmp_path: Path) -> None:
    model = copy_tiny(tmp_path)
    before = key(model)
    tokens = (model / "vocab.txt").read_text("utf-8").split("\n")
    (model / "vocab.txt").write_text("\n".join([*tokens[:-2], "otherword", ""]), "utf-8")
    assert key(model) != before


def test_the_oldest_goes_when_there_are_too_many(folder: Path, tmp_path: Path) -> None:
    graph = written(tmp_path)
    for number in range(graph_cache.MOST_GRAPHS + 2):
        graph_cache.keep(f"key{number}", graph)
        os.utime(folder / f"key{number}.graph", (number + 1, number + 1))
        assert graph_cache.find("key0") is not None  # used all the time
    assert len(list(folder.iterdir())) == graph_cache.MOST_GRAPHS
    assert graph_cache.find("key1") is None
    assert graph_cache.find("missing") is None


def test_a_folder_that_others_can_write_to_is_not_used(folder: Path, tmp_path: Path) -> None:
    graph = written(tmp_path)
    graph_cache.keep("key", graph)
    folder.chmod(0o777)
    assert graph_cache.find("key") is None


def test_a_second_start_builds_no_graph(tmp_path: Path) -> None:
    config = ServerConfig(model_dir=str(TINY), cpu=True, graph_tmp_dir=str(tmp_path))
    said: list[str] = []
    first = tensorflow_engine.prepare(config, said.append)
    assert any("building the graph" in line for line in said)
    said.clear()
    second = tensorflow_engine.prepare(config, said.append)
    assert ["an earlier start" in line for line in said] == [True]
    assert Path(first).read_bytes() == Path(second).read_bytes()
