"""Engines and model folders for the tests. TensorFlow loads once; each set of options is built once a session."""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from folders import GOLDEN, TINY

from bert_serving.server.config import ServerConfig
from bert_serving.server.engine import tensorflow_engine
from bert_serving.server.engine.tensorflow_engine import TensorFlowEngine

Weights = dict[str, np.ndarray[Any, Any]]
Load = Callable[..., TensorFlowEngine]


@pytest.fixture(scope="session")
def golden() -> dict[str, Any]:
    """What 1.10 was asked and which tokens it made."""
    return dict(json.loads((GOLDEN / "cases.json").read_text("utf-8")))


MOST_ENGINES = 24
"""That are kept: one takes some 30 MB, and the tests ask for hundreds."""


@pytest.fixture(scope="session")
def load_engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Load]:
    """Makes an engine of options, `model_dir` being the tiny model unless given; for the same options the same engine,
    as long as it is among the last that were asked for."""
    engines: OrderedDict[str, TensorFlowEngine] = OrderedDict()
    folder = tmp_path_factory.mktemp("graphs")

    def load(**options: Any) -> TensorFlowEngine:
        given = {"model_dir": str(TINY), "graph_tmp_dir": str(folder), "cpu": True, **options}
        key = json.dumps(given, sort_keys=True, default=str)
        if key not in engines:
            config = tensorflow_engine.resolve(ServerConfig.from_mapping(given))
            prepared = tensorflow_engine.prepare(config, lambda text: None)
            engines[key] = tensorflow_engine.load(config, prepared, 2, lambda text: None)
        engines.move_to_end(key)
        if len(engines) > MOST_ENGINES:
            engines.popitem(last=False)[1].close()
        return engines[key]

    yield load
    for engine in engines.values():
        engine.close()


@pytest.fixture(scope="session")
def tiny_weights() -> Weights:
    """Every variable of the tiny checkpoint, by Google's name."""
    import tensorflow as tf

    reader = tf.train.load_checkpoint(str(TINY / "bert_model.ckpt"))
    return {name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map()}


@pytest.fixture(scope="session")
def torch_weights(tiny_weights: Weights) -> Weights:
    """The same as a Hugging Face model names and turns them, without what training left."""
    return {
        _torch_name(name): np.ascontiguousarray(value.T if name.endswith("kernel") else value)
        for name, value in tiny_weights.items()
        if name.startswith("bert/") and "adam" not in name
    }


def _torch_name(name: str) -> str:
    name = name.removeprefix("bert/").replace("layer_", "layer.").replace("/", ".")
    for old, new in (("kernel", "weight"), ("gamma", "weight"), ("LayerNorm.beta", "LayerNorm.bias")):
        name = name.replace(old, new)
    return f"{name}.weight" if name.endswith("_embeddings") else name


@pytest.fixture
def torch_folder(tmp_path: Path, torch_weights: Weights) -> Callable[..., Path]:
    """Writes a Hugging Face folder with the tiny model; `tensors` takes other weights, `config` other values."""
    from safetensors.numpy import save_file

    def write(tensors: Weights | None = None, **config: Any) -> Path:
        values = json.loads((TINY / "bert_config.json").read_text("utf-8"))
        (tmp_path / "config.json").write_text(json.dumps({**values, "model_type": "bert", **config}))
        (tmp_path / "vocab.txt").write_bytes((TINY / "vocab.txt").read_bytes())
        save_file(torch_weights if tensors is None else tensors, tmp_path / "model.safetensors")
        return tmp_path

    return write


@pytest.fixture(scope="session")
def write_checkpoint() -> Callable[[Path, Weights], None]:
    """Writes variables as a TensorFlow checkpoint, by the path without `.index`."""
    return _write_checkpoint


def _write_checkpoint(prefix: Path, variables: Weights) -> None:
    import tensorflow as tf

    names = sorted(variables)
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        tensors = [tf.constant(variables[name]) for name in names]
        slices = [""] * len(names)
        session.run(tf.raw_ops.SaveV2(prefix=str(prefix), tensor_names=names, shape_and_slices=slices, tensors=tensors))


@pytest.fixture
def google_folder(
    tmp_path: Path, tiny_weights: Weights, write_checkpoint: Callable[[Path, Weights], None]
) -> Callable[..., Path]:
    """Writes a Google folder with the tiny model; `without` and `changed` break its variables, `config` its config."""

    def write(without: str = "", changed: Weights | None = None, **config: Any) -> Path:
        values = json.loads((TINY / "bert_config.json").read_text("utf-8"))
        (tmp_path / "bert_config.json").write_text(json.dumps({**values, **config}))
        (tmp_path / "vocab.txt").write_bytes((TINY / "vocab.txt").read_bytes())
        kept = {name: value for name, value in tiny_weights.items() if name != without}
        write_checkpoint(tmp_path / "bert_model.ckpt", {**kept, **(changed or {})})
        return tmp_path

    return write
