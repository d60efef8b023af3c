"""Builds the graph of a model, pruned to what the options ask for, and writes it to a file that workers load."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import IO, Any

from bert_serving.server.config import ServerConfig
from bert_serving.server.engine.architectures.base import EncoderShape
from bert_serving.server.engine.attention_ops import choose_attention_ops
from bert_serving.server.engine.bundle import Bundle
from bert_serving.server.engine.calibration import plan_products
from bert_serving.server.engine.contract import Progress
from bert_serving.server.engine.dense_layers import Int8
from bert_serving.server.engine.encoder import Encoder, Inputs
from bert_serving.server.engine.fingerprint import ModelContent
from bert_serving.server.engine.graph_file import GraphFileWriter
from bert_serving.server.engine.int8_products import require_int8
from bert_serving.server.engine.layer_norm import choose_layer_norm
from bert_serving.server.engine.model_folder import ModelFolder
from bert_serving.server.engine.packing import Packed, Padded
from bert_serving.server.engine.pooling import EncoderOutput, extent_of, kept_extent, pool
from bert_serving.server.engine.precision import choose_dtype, is_fast_here
from bert_serving.server.engine.products import choose_product
from bert_serving.server.engine.quantization import Plan
from bert_serving.server.engine.session import DEPTH, INPUTS, LAYER, OUTPUT, GraphSession, load_graph
from bert_serving.server.engine.tensors import first_line, load_tensorflow
from bert_serving.server.engine.variables import Place, as_variables, constant
from bert_serving.server.engine.weights import Weights, load_weights
from bert_serving.server.errors import StartError
from bert_serving.server.wanted import default_view


def write_graph(config: ServerConfig, model: ModelFolder, content: ModelContent, progress: Progress) -> Path:
    """Load the weights, build the graph and write both to a new file in `-graph_tmp_dir`; its path.

    The file has a `Bundle` in it too: it is all that a worker needs.

    Raises:
        StartError: the weights do not fit, or the file cannot be written.
    """
    extent = kept_extent(config, model.shape)
    progress(f"loading the weights of {extent.layers} of {model.shape.layers} layers from {model.weights[0].parent}")
    if config.dtype == "int8":
        require_int8()
    weights = load_weights(model, extent)
    plan = plan_products(config, model, weights, progress) if config.dtype == "int8" else None
    paths: dict[str, Path] = {}

    def written(dtype: str) -> Path:
        if dtype not in paths:
            progress(f"building the graph, pooling {default_view(config).names}, {dtype}")
            with _new_file(config.graph_tmp_dir) as (paths[dtype], stream):
                writer = GraphFileWriter(stream)
                graph = build_graph(config, model.shape, weights, dtype, as_variables(writer.add), plan)
                Bundle(content, dtype, Bundle.top_of(weights)).put_into(graph)
                writer.finish(graph.as_graph_def().SerializeToString())
        return paths[dtype]

    chosen: Path | None = None
    try:
        chosen = written(choose_dtype(config, model, lambda dtype: _open(written(dtype), config), progress))
    finally:
        for path in paths.values():
            if path != chosen:
                path.unlink(missing_ok=True)
    progress(f"the graph is in {chosen} ({chosen.stat().st_size / 2**20:.0f} MiB)")
    return chosen


def build_graph(
    config: ServerConfig,
    shape: EncoderShape,
    weights: Weights,
    dtype: str,
    place: Place = constant,
    plan: Plan | None = None,
) -> Any:
    """The `tf.Graph`, computed in `dtype`: INPUTS, int32 `[B, T]`, to OUTPUT, float32 or with `-fp16` float16.

    Beside that, for views that a request asks for, the outputs of all layers that are kept, LAYER_0 and so on, up to
    DEPTH. They go over the same weights, and are computed only where they are fetched.
    `place` makes a tensor of each weight. `plan` says for int8 how each product is made.
    """
    tf = load_tensorflow()
    extent, kept = extent_of(config, shape), kept_extent(config, shape)
    graph = tf.Graph()
    with graph.as_default():
        inputs = Inputs(*(tf.compat.v1.placeholder(tf.int32, [None, None], name=name) for name in INPUTS))
        encoder = make_encoder(config, shape, weights, dtype, place, plan)
        layers = encoder.layers(inputs, extent.layers)  # (B, T, H) each
        view = default_view(config)
        encoded = EncoderOutput.of(view, layers, inputs.mask, encoder, weights, config.include_prompt)
        tf.identity(tf.cast(pool(view, encoded), tf.float16 if config.fp16 else tf.float32), name=OUTPUT)
        # XLA takes no part of a graph that may not run
        depth = None if config.xla else tf.compat.v1.placeholder(tf.int32, [], name=DEPTH)
        for number, layer in enumerate(encoder.listed_layers(inputs, kept.layers, depth)):
            tf.identity(layer, name=f"{LAYER}_{number}")
    return graph


def make_encoder(
    config: ServerConfig,
    shape: EncoderShape,
    weights: Weights,
    dtype: str,
    place: Place = constant,
    plan: Plan | None = None,
) -> Encoder:
    """An encoder that computes in `dtype`, of the fastest parts that work here with the options.

    With int8 that is the layers' products alone, and all else in float32, but attention, in bfloat16 if that is fast.
    """
    tf = load_tensorflow()
    tf_dtype = tf.float32 if dtype == "int8" else tf.as_dtype(dtype)
    by_size = config.cpu and dtype in ("float32", "bfloat16") and not config.xla
    return Encoder(
        shape,
        weights,
        choose_layer_norm(cpu=config.cpu),
        Padded if config.xla else Packed,
        dtype=tf_dtype,
        positions=not config.no_position_embeddings,
        by_size=by_size,
        product=choose_product(tf_dtype, wanted=config.cpu),
        place=place,
        int8=None if plan is None else Int8(plan, tf.bfloat16 if is_fast_here("bfloat16") else tf.float32),
        attention=partial(choose_attention_ops, tf_dtype, wanted=by_size),  # tries them out, if there are layers
    )


def _open(path: Path, config: ServerConfig) -> GraphSession:
    graph, weights = load_graph(path)
    return GraphSession(graph, config, weights)


@contextmanager
def _new_file(folder: str | None) -> Iterator[tuple[Path, IO[bytes]]]:
    """A file to write to, which is gone again if that fails. StartError if it cannot be written."""
    path = None
    try:
        number, name = tempfile.mkstemp(prefix="bert-graph-", suffix=".graph", dir=folder)
        path = Path(name)
        with os.fdopen(number, "wb") as stream:
            yield path, stream
    except BaseException as error:
        if path is not None:
            path.unlink(missing_ok=True)
        if not isinstance(error, OSError):
            raise
        where = folder or tempfile.gettempdir()
        raise StartError(
            f"the graph cannot be written to {where} ({first_line(error)}): set -graph_tmp_dir to a folder with "
            "enough space"
        ) from error
