"""The engine that serves encoders with TensorFlow: wires the other modules into the contract of `contract.py`."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np

from bert_serving.server.config import ServerConfig
from bert_serving.server.engine import graph_cache
from bert_serving.server.engine.bundle import Bundle
from bert_serving.server.engine.contract import Chunks, FloatArray, Footprint, Made, Progress, Row, Texts, Vectors
from bert_serving.server.engine.cpu import has_products
from bert_serving.server.engine.encoder import FEW_TOKENS
from bert_serving.server.engine.features import FeatureMaker
from bert_serving.server.engine.fingerprint import ModelContent
from bert_serving.server.engine.footprint import footprint_of, vector_bytes
from bert_serving.server.engine.graph import write_graph
from bert_serving.server.engine.int8_products import QUANTIZED_OP
from bert_serving.server.engine.micro_batch import TOKEN_STEP, MicroBatch, Shape, collate, common_shape, fixed_shape
from bert_serving.server.engine.model_facts import facts_of
from bert_serving.server.engine.model_folder import find_model
from bert_serving.server.engine.option_checks import check_options
from bert_serving.server.engine.packing import LONG_LIST
from bert_serving.server.engine.products import FUSED_OP
from bert_serving.server.engine.sentence_folder import with_folder_defaults
from bert_serving.server.engine.session import GraphSession, give_back_memory, keep_memory, load_graph
from bert_serving.server.engine.tensors import load_tensorflow, require_tensorflow
from bert_serving.server.engine.tokenization import TextTokenizer
from bert_serving.server.engine.tokenizer_files import find_pipeline
from bert_serving.server.engine.view_pools import ViewPools
from bert_serving.server.errors import StartError
from bert_serving.server.wanted import PooledView, TextOptions, Wanted, default_view

log = logging.getLogger(__name__)

_KNOWN_SENTENCE = "this known sentence is as short as most of those that people ask for"
MOST_FINGERPRINTS = 256
"""Of what requests want, that are kept."""
_WARM_UP_S = 2.0
_WARM_UP_TOKENS = 32
"""The longest text of the warm-up, and how many of these make its large batch."""


def resolve(config: ServerConfig) -> ServerConfig:
    """The config with what the model's folder suggests, once files and options are found to fit. No TensorFlow.

    Raises:
        StartError: a file is missing or broken.
        ConfigError: an option does not fit the model.
    """
    require_tensorflow()
    model = find_model(config)
    config = replace(with_folder_defaults(config, model), max_positions=model.shape.positions)
    if model.labels:
        config = config.with_model_defaults(num_labels=len(model.labels))
    config = replace(config, facts=facts_of(config, model), labels=model.labels)
    check_options(config, model)
    find_pipeline(config, model)
    return replace(config, vector_bytes=vector_bytes(config))


def footprint(config: ServerConfig) -> Footprint:
    """What the model of a resolved config is, and the memory that it takes."""
    return footprint_of(config, find_model(config))


def prepare(config: ServerConfig, progress: Progress) -> str:
    """Write the optimized graph and its weights to `-graph_tmp_dir`, or find those of an earlier start; their file.

    Raises:
        StartError: TensorFlow is missing, or the weights do not fit.
    """
    model = find_model(config)
    content = ModelContent.of(config, model)
    key = graph_cache.graph_key(config, content)
    if kept := graph_cache.find(key):
        progress(f"using the graph of an earlier start: {kept}")
        return str(graph_cache.held(kept, config.graph_tmp_dir))
    path = write_graph(config, model, content, progress)
    graph_cache.keep(key, path)
    return str(path)


def preload() -> None:
    """Import TensorFlow, which takes seconds."""
    start_s = time.perf_counter()
    load_tensorflow()
    log.debug("TensorFlow imported in %.1f s", time.perf_counter() - start_s)


def load(config: ServerConfig, prepared: str, lanes: int, progress: Progress) -> TensorFlowEngine:
    """An engine that has encoded a first sentence. Reads nothing but the file `prepared`.

    Raises:
        StartError: the graph does not load, is for another kind of CPU, or gives no finite numbers.
    """
    start_s = time.perf_counter()
    progress("loading the graph")
    graph, weights = load_graph(Path(prepared))
    bundle = Bundle.out_of(graph)
    _check_products(graph, bundle.dtype)
    engine = TensorFlowEngine(config, bundle, GraphSession(graph, config, weights), lanes)
    loaded_s = time.perf_counter()
    progress("encoding a first sentence")
    try:
        _warm_up(engine, min(_WARM_UP_TOKENS, bundle.content.shape.positions))
    except BaseException:
        engine.close()
        raise
    give_back_memory()
    keep_memory()
    log.debug("graph loaded in %.1f s, warmed up in %.1f s", loaded_s - start_s, time.perf_counter() - loaded_s)
    return engine


def _check_products(graph: Any, dtype: str) -> None:
    """The graph may have been prepared on another machine. A product that this one lacks would end the process."""
    used = {node.type for node in graph.get_operations()} & {FUSED_OP, QUANTIZED_OP}
    if used and not has_products(dtype):
        raise StartError(
            f"the graph was prepared for {dtype} on a CPU that multiplies it, and this machine's CPU does not: "
            "start with -dtype float32"
        )


class TensorFlowEngine:
    """A loaded model; see `contract.Engine` for what each method promises."""

    def __init__(self, config: ServerConfig, bundle: Bundle, session: GraphSession, lanes: int) -> None:
        tokenizer = TextTokenizer(bundle.content.pipeline)
        self._longest = config.max_seq_len or bundle.content.shape.positions
        self._shape = (
            partial(fixed_shape, longest=self._longest)  # XLA compiles each shape separately
            if config.xla
            else partial(common_shape, longest=bundle.content.shape.positions)
        )
        self._features = FeatureMaker(
            tokenizer,
            self._longest,
            no_special_token=config.no_special_token,
            include_prompt=config.include_prompt,
        )
        self._config = config
        self._bundle = bundle
        self._tokenizer = tokenizer
        self._session = session
        self._view = default_view(config)
        self._texts = TextOptions(config.prompt_text)
        self._views = ViewPools(config, bundle, session.num_layers, on_gpu=session.on_gpu)
        content = bundle.content
        self._fingerprint_with = lru_cache(MOST_FINGERPRINTS)(partial(content.fingerprint_with, config, bundle.dtype))
        self.fingerprint = content.fingerprint(config, bundle.dtype)
        self._lanes = lanes
        self._makes_code = config.xla or session.on_gpu
        self._shapes_run: set[tuple[Shape, bool]] = set()
        self._has_run_views = False

    @property
    def lanes(self) -> int:
        """How many threads should call `run` side by side."""
        return self._lanes

    @property
    def on_gpu(self) -> bool:
        """Whether a GPU computes."""
        return self._session.on_gpu

    def fingerprint_with(self, wanted: Wanted) -> str:
        """That of an engine which was started with the options of a request."""
        return self._fingerprint_with(wanted)

    def features(self, texts: Texts, wanted: Wanted | None = None) -> list[Made]:
        """Rows of texts; for a text that cannot be one, a sentence that says why."""
        if wanted is None:
            return list(self._features.rows(texts, self._texts))
        made = self._features.made(texts, wanted.texts)
        return made if wanted.views == (self._view,) else [_with_views(one, wanted.views) for one in made]

    def tokens(self, row: Row) -> list[str]:
        """The tokens of a row, special ones included, no padding."""
        return self._tokenizer.tokens(row.ids)

    def compiles(self, rows: Sequence[Row]) -> bool:
        """Whether running these rows makes code for their shape first, with XLA, and with the libraries of a GPU; or
        readies the layers for views, which happens once."""
        has_views = _has_views(rows)
        if has_views and not self._has_run_views:
            return True
        return self._makes_code and (self._shape_of(rows), has_views) not in self._shapes_run

    def _shape_of(self, rows: Sequence[Row]) -> Shape:
        return self._shape(len(rows), max(row.length for row in rows))

    def run(self, rows: Sequence[Row], *, alone: bool = False) -> Vectors:
        """Vectors `[B, D]`, or a list as the contract says; float32, with `-fp16` float16."""
        shape, has_views = self._shape_of(rows), _has_views(rows)
        shared = alone and self._lanes > 1 and sum(row.length for row in rows) <= FEW_TOKENS
        batch = collate(rows, mask_cls_sep=self._config.mask_cls_sep, shape=shape)
        vectors = self._run_views(rows, batch) if has_views else self._session.run(batch, shared=shared)[: len(rows)]
        self._shapes_run.add((shape, has_views))
        self._has_run_views = self._has_run_views or has_views
        if isinstance(vectors, list) or self._view.is_pooled or has_views:
            return vectors
        return [vector[: row.length] for vector, row in zip(vectors, rows, strict=True)]

    def _run_views(self, rows: Sequence[Row], batch: MicroBatch) -> Vectors:
        """Each row by the views that it asks for, of one pass through the encoder, as deep as the deepest needs it."""
        asked = [row.views or (self._view,) for row in rows]
        views = list(dict.fromkeys(view for some in asked for view in some))
        layers = self._session.run_layers(batch, max(view.depth(self._bundle.content.shape.layers) for view in views))
        made = {view: self._views.of(view, layers, batch.mask) for view in views}
        if len(set(asked)) == 1 and views[0].is_pooled:
            return _beside([made[view][: len(rows)] for view in asked[0]])
        return [_row_of(made, some, number, row) for number, (some, row) in enumerate(zip(asked, rows, strict=True))]

    def close(self) -> None:
        """Give back what the model holds."""
        self._views.close()
        self._session.close()


def _with_views(made: Made, views: tuple[PooledView, ...]) -> Made:
    if isinstance(made, Chunks):
        return replace(made, rows=tuple(replace(row, views=views) for row in made.rows))
    return replace(made, views=views) if isinstance(made, Row) else made


def _has_views(rows: Sequence[Row]) -> bool:
    return any(row.views for row in rows)


def _beside(vectors: list[FloatArray]) -> FloatArray:
    return vectors[0] if len(vectors) == 1 else np.concatenate(vectors, axis=-1)


def _row_of(made: Mapping[PooledView, FloatArray], views: Sequence[PooledView], number: int, row: Row) -> FloatArray:
    """The vectors of one row: `[W]`, or `[length, W]` without pooling."""
    vectors = _beside([made[view][number] for view in views])
    return vectors if views[0].is_pooled else vectors[: row.length]


def _warm_up(engine: TensorFlowEngine, longest: int) -> None:
    """Encode a known sentence, then what brings in the shapes that will come, each of which is slow at its first time.

    The sentence goes first and alone: the first shape that an op runs fixes the layout in which oneDNN keeps its
    weight, and after a large batch every short sentence would pack them all again.
    """
    rows = [row for row in engine.features([_KNOWN_SENTENCE]) if isinstance(row, Row)]
    vectors = engine.run(rows)
    if not np.isfinite(vectors[0]).all():
        raise StartError(
            "the model's numbers for a known sentence are not finite: copy the weights again, or leave out -fp16"
        )
    end_s = time.perf_counter() + _WARM_UP_S
    lengths = (*range(1, min(LONG_LIST, longest)), *range(LONG_LIST, longest, TOKEN_STEP))
    for batch in ([_blank(longest)] * _WARM_UP_TOKENS, *([_blank(length)] for length in lengths)):
        engine.run(batch)
        if time.perf_counter() > end_s:
            break


def _blank(length: int) -> Row:
    return Row([0] * length, length, ())
