"""Builds the graph of a model, pruned to what the options ask for, and writes it to a file that workers load."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

from bert_serving.server.config import ServerConfig
from bert_serving.server.engine.architectures.base import EncoderShape, Extent
from bert_serving.server.engine.bundle import Bundle
from bert_serving.server.engine.contract import Progress
from bert_serving.server.engine.encoder import Encoder, Inputs
from bert_serving.server.engine.fingerprint import ModelContent
from bert_serving.server.engine.layer_norm import choose_layer_norm
from bert_serving.server.engine.model_folder import ModelFolder
from bert_serving.server.engine.packing import Packed, Padded
from bert_serving.server.engine.pooling import EncoderOutput, extent_of, pool, pooling_names
from bert_serving.server.engine.precision import choose_dtype
from bert_serving.server.engine.session import INPUTS, OUTPUT
from bert_serving.server.engine.tensors import first_line, load_tensorflow
from bert_serving.server.engine.weights import Weights, load_weights
from bert_serving.server.errors import StartError

_LARGEST_GRAPH = 2**31 - 1  # protobuf's own limit


def write_graph(config: ServerConfig, model: ModelFolder, content: ModelContent, progress: Progress) -> Path:
    """Load the weights, build the graph and write it to a new file in `-graph_tmp_dir`; its path.

    The file has a `Bundle` in it too: it is all that a worker needs.

    Raises:
        StartError: the weights do not fit, or the file cannot be written.
    """
    extent = extent_of(config, model.shape)
    progress(f"loading the weights of {extent.layers} of {model.shape.layers} layers from {model.weights[0].parent}")
    weights = load_weights(model, extent)

    def build(dtype: str) -> Any:
        return build_graph(config, model.shape, extent, weights, dtype)

    dtype = choose_dtype(config, model, build, progress)
    progress(f"building the graph, pooling {pooling_names(config)}, {dtype}")
    graph = build(dtype)
    Bundle(content.pipeline, model.shape.positions, content.fingerprint(config, dtype)).put_into(graph)
    path = _write(graph, config.graph_tmp_dir)
    progress(f"the graph is in {path} ({path.stat().st_size / 2**20:.0f} MiB)")
    return path


def build_graph(config: ServerConfig, shape: EncoderShape, extent: Extent, weights: Weights, dtype: str) -> Any:
    """The `tf.Graph`, computed in `dtype`: INPUTS, int32 `[B, T]`, to OUTPUT, float32 or with `-fp16` float16."""
    tf = load_tensorflow()
    graph = tf.Graph()
    with graph.as_default():
        inputs = Inputs(*(tf.compat.v1.placeholder(tf.int32, [None, None], name=name) for name in INPUTS))
        encoder = Encoder(
            shape,
            weights,
            choose_layer_norm(cpu=config.cpu),
            Padded if config.xla else Packed,
            dtype=tf.as_dtype(dtype),
            positions=not config.no_position_embeddings,
            by_size=config.cpu and dtype == "float32" and not config.xla,
        )
        layers = encoder.layers(inputs, extent.layers)  # (B, T, H) each
        tokens, top = _tokens(config, shape, layers), layers[-1]
        encoded = EncoderOutput(tokens, top, inputs.mask, encoder, weights, config.include_prompt)
        vectors = pool(config, encoded)
        tf.identity(tf.cast(vectors, tf.float16 if config.fp16 else tf.float32), name=OUTPUT)
    return graph


def _tokens(config: ServerConfig, shape: EncoderShape, layers: list[Any]) -> Any:
    """The layers asked for, side by side in the given order."""
    chosen = [layers[shape.layers + number] for number in config.pooling_layer if shape.layers + number < len(layers)]
    return chosen[0] if len(chosen) == 1 else load_tensorflow().concat(chosen, axis=-1)  # (B, T, H * chosen)


def _write(graph: Any, folder: str | None) -> Path:
    definition = graph.as_graph_def()
    if definition.ByteSize() > _LARGEST_GRAPH:
        raise StartError("the model is too large for one graph (2 GiB): use fewer layers (-pooling_layer) or -fp16")
    try:
        number, name = tempfile.mkstemp(prefix="bert-graph-", suffix=".pb", dir=folder)
        with os.fdopen(number, "wb") as stream:
            stream.write(definition.SerializeToString())
    except OSError as error:
        where = folder or tempfile.gettempdir()
        raise StartError(
            f"the graph cannot be written to {where} ({first_line(error)}): give a folder with room by -graph_tmp_dir"
        ) from error
    return Path(name)
