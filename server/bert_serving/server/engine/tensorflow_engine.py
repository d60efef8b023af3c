"""The engine that serves encoders with TensorFlow: wires the other modules into the contract of `contract.py`."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from bert_serving.server.config import PoolingStrategy, ServerConfig
from bert_serving.server.engine import graph_cache
from bert_serving.server.engine.bundle import Bundle
from bert_serving.server.engine.contract import Footprint, Progress, Row, Texts, Vectors
from bert_serving.server.engine.features import TOKEN_STEP, FeatureMaker, Shape, collate, common_shape, fixed_shape
from bert_serving.server.engine.fingerprint import ModelContent
from bert_serving.server.engine.footprint import footprint_of, vector_bytes
from bert_serving.server.engine.graph import write_graph
from bert_serving.server.engine.model_folder import find_model
from bert_serving.server.engine.option_checks import check_options
from bert_serving.server.engine.packing import LONG_LIST
from bert_serving.server.engine.sentence_folder import with_folder_defaults
from bert_serving.server.engine.session import GraphSession, give_back_memory, load_graph
from bert_serving.server.engine.tensors import load_tensorflow, require_tensorflow
from bert_serving.server.engine.tokenization import TextTokenizer
from bert_serving.server.engine.tokenizer_files import find_pipeline
from bert_serving.server.errors import StartError

log = logging.getLogger(__name__)

_KNOWN_SENTENCE = "this known sentence is as short as most of those that people ask for"
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
    check_options(config, model)
    find_pipeline(config, model)
    return replace(config, vector_bytes=vector_bytes(config, model.shape))


def footprint(config: ServerConfig) -> Footprint:
    """What the model of a resolved config is, and the memory that it takes."""
    return footprint_of(config, find_model(config))


def prepare(config: ServerConfig, progress: Progress) -> str:
    """Write the optimized graph to `-graph_tmp_dir`, or find that of an earlier start; the path of its file.

    Raises:
        StartError: TensorFlow is missing, or the weights do not fit.
    """
    model = find_model(config)
    content = ModelContent.of(config, model)
    key = graph_cache.graph_key(config, content)
    if kept := graph_cache.find(key):
        progress(f"the graph of an earlier start is used: {kept}")
        return str(kept)
    path = write_graph(config, model, content, progress)
    graph_cache.keep(key, path)
    return str(path)


def preload() -> None:
    """Import TensorFlow, which takes seconds."""
    start_s = time.perf_counter()
    load_tensorflow()
    log.info("TensorFlow imported in %.1f s", time.perf_counter() - start_s)


def load(config: ServerConfig, prepared: str, lanes: int, progress: Progress) -> TensorFlowEngine:
    """An engine that has encoded a first sentence. Reads nothing but the file `prepared`.

    Raises:
        StartError: the graph does not load or gives no finite numbers.
    """
    start_s = time.perf_counter()
    progress("loading the graph")
    graph = load_graph(Path(prepared))
    bundle = Bundle.out_of(graph)
    engine = TensorFlowEngine(config, bundle, GraphSession(graph, config), lanes)
    loaded_s = time.perf_counter()
    progress("encoding a first sentence")
    try:
        _warm_up(engine, min(_WARM_UP_TOKENS, bundle.positions))
    except BaseException:
        engine.close()
        raise
    give_back_memory()
    log.info("graph loaded in %.1f s, warmed up in %.1f s", loaded_s - start_s, time.perf_counter() - loaded_s)
    return engine


class TensorFlowEngine:
    """A loaded model; see `contract.Engine` for what each method promises."""

    def __init__(self, config: ServerConfig, bundle: Bundle, session: GraphSession, lanes: int) -> None:
        tokenizer = TextTokenizer(bundle.pipeline)
        self._longest = config.max_seq_len or bundle.positions
        self._shape = (
            partial(fixed_shape, longest=self._longest)  # XLA compiles each shape anew
            if config.xla
            else partial(common_shape, longest=bundle.positions)
        )
        self._features = FeatureMaker(
            tokenizer,
            self._longest,
            no_special_token=config.no_special_token,
            include_prompt=config.include_prompt,
        )
        self._prompt = config.prompt_text
        self._tokenizer = tokenizer
        self._session = session
        self.fingerprint = bundle.fingerprint
        self._lanes = lanes
        self._makes_code = config.xla or session.on_gpu
        self._shapes_run: set[Shape] = set()
        self._mask_cls_sep = config.mask_cls_sep
        self._pooled = config.pooling_strategy is not PoolingStrategy.NONE

    @property
    def lanes(self) -> int:
        """How many threads should call `run` side by side."""
        return self._lanes

    @property
    def on_gpu(self) -> bool:
        """Whether a GPU computes."""
        return self._session.on_gpu

    def features(self, texts: Texts) -> list[Row | str]:
        """Rows of texts; for a text that cannot be one, a sentence that says why."""
        return self._features.rows(texts, self._prompt)

    def tokens(self, row: Row) -> list[str]:
        """The tokens of a row, special ones included, no padding."""
        return self._tokenizer.tokens(row.ids)

    def compiles(self, rows: Sequence[Row]) -> bool:
        """Whether running these rows makes code for their shape first: with XLA, and with the libraries of a GPU."""
        return self._makes_code and self._shape_of(rows) not in self._shapes_run

    def _shape_of(self, rows: Sequence[Row]) -> Shape:
        return self._shape(len(rows), max(row.length for row in rows))

    def run(self, rows: Sequence[Row]) -> Vectors:
        """Vectors `[B, D]`, or with pooling NONE a list of `[length, D]`; float32, with `-fp16` float16."""
        shape = self._shape_of(rows)
        batch = collate(rows, mask_cls_sep=self._mask_cls_sep, shape=shape)
        vectors = self._session.run(batch)[: len(rows)]
        self._shapes_run.add(shape)
        if self._pooled:
            return vectors
        return [vector[: row.length] for vector, row in zip(vectors, rows, strict=True)]

    def close(self) -> None:
        """Give back what the model holds."""
        self._session.close()


def _warm_up(engine: TensorFlowEngine, longest: int) -> None:
    """Encode a known sentence, then what brings in the shapes that will come, each of which is slow at its first time.

    The sentence goes first and alone: the first shape that an op runs fixes the layout in which oneDNN keeps its
    weight, and after a large batch every short sentence would pack them all anew.
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
