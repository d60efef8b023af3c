"""The precision of a model's matrix products: the one asked for, or the one that `-dtype auto` finds.

`auto` encodes built-in sentences in float32 and in each candidate, and takes the fastest whose vectors stay close.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from bert_serving.server.config import ServerConfig
from bert_serving.server.engine.contract import Progress, Row
from bert_serving.server.engine.cpu import cpu_flags
from bert_serving.server.engine.features import FeatureMaker
from bert_serving.server.engine.micro_batch import PADDING, MicroBatch, collate
from bert_serving.server.engine.model_folder import ModelFolder
from bert_serving.server.engine.session import GraphSession
from bert_serving.server.engine.tokenization import load_tokenizer
from bert_serving.server.wanted import TextOptions

log = logging.getLogger(__name__)

LEAST_COSINE = 0.9998
"""A vector that is nearer than this to its float32 counterpart counts as the same."""

_ROUNDS = 5
_FAST_FLAGS = {"bfloat16": {"avx512_bf16", "amx_bf16"}, "float16": {"avx512_fp16", "amx_fp16"}}
"""Flags of a CPU that multiplies such matrices faster than float32 ones; one of them is enough."""

SENTENCES = (
    "hello world",
    "First do it, then do it right, then do it better.",
    "What is the capital of the largest country in South America?",
    "The patient was given 250 mg twice a day; no side effects were seen after six weeks.",
    "A man is playing a guitar on a crowded street while children dance around him.",
    "Shares fell by 3.2% on Tuesday, the steepest drop since March 2020, as banks warned of losses.",
    "no",
    "Error 404: the page /index.html?id=17 does not exist on this server!",
    "Der schnelle braune Fuchs springt über den faulen Hund.",
    "Où est la bibliothèque la plus proche ?",
    "El tren sale a las ocho menos cuarto de la mañana.",
    "Москва является столицей России.",
    "北京是中华人民共和国的首都。",
    "東京は日本の首都です。",
    "It was the best of times, it was the worst of times, it was the age of wisdom, it was the age of foolishness, "
    "it was the epoch of belief, it was the epoch of incredulity, it was the season of light.",
    "def add(a, b): return a + b  # adds two numbers",
)


def choose_dtype(
    config: ServerConfig, model: ModelFolder, open_session: Callable[[str], GraphSession], progress: Progress
) -> str:
    """float32, bfloat16, float16 or int8; `open_session` runs a graph in one of them."""
    asked = "float16" if config.fp16 else config.dtype
    if asked != "auto":
        if config.cpu and asked in _FAST_FLAGS and not is_fast_here(asked):
            log.warning("this CPU has no fast %s: float32 may be faster, -dtype auto finds out", asked)
        return asked
    if not config.cpu or not is_fast_here("bfloat16"):
        progress(f"-dtype auto: float32, {'this CPU has no fast bfloat16' if config.cpu else 'GPUs are not measured'}")
        return "float32"
    return _fastest_that_is_close(config, model, open_session, progress)


def _fastest_that_is_close(
    config: ServerConfig, model: ModelFolder, open_session: Callable[[str], GraphSession], progress: Progress
) -> str:
    batch = collate(sentence_rows(config, model), mask_cls_sep=config.mask_cls_sep)
    vectors, seconds = {}, {}
    for dtype in ("float32", "bfloat16"):
        vectors[dtype], seconds[dtype] = _measure(open_session(dtype), batch)
    cosine, gain = worst_cosine(vectors["float32"], vectors["bfloat16"]), seconds["float32"] / seconds["bfloat16"]
    chosen = "bfloat16" if cosine > LEAST_COSINE and gain > 1 else "float32"
    progress(
        f"-dtype auto: {chosen}; bfloat16 is {gain:.1f} times as fast, its worst cosine to float32 is {cosine:.6f}"
    )
    return chosen


def sentence_rows(config: ServerConfig, model: ModelFolder) -> list[Row]:
    """SENTENCES as rows of that model."""
    limit = config.max_seq_len or model.shape.positions
    features = FeatureMaker(load_tokenizer(config, model), limit).rows(SENTENCES, TextOptions(config.prompt_text))
    return [row for row in features if isinstance(row, Row)]


def _measure(session: GraphSession, batch: MicroBatch) -> tuple[Any, float]:
    """The vectors, `[rows, D]` float64, and the best time of a run in seconds."""
    seconds = []
    for _ in range(_ROUNDS):
        start_s = time.perf_counter()
        vectors = session.run(batch)
        seconds.append(time.perf_counter() - start_s)
    session.close()
    if vectors.ndim == 3:  # token vectors: those of padding are zero and say nothing
        vectors = vectors[batch.mask != PADDING]
    return vectors.astype(np.float64), min(seconds)


def worst_cosine(left: Any, right: Any) -> float:
    """The least cosine of two rows at the same place, `[rows, D]` each; rows that are zero in both are left out."""
    lengths = np.linalg.norm(left, axis=1) * np.linalg.norm(right, axis=1)
    products = (left * right).sum(axis=1)[lengths > 0] / lengths[lengths > 0]
    return float(products.min(initial=1.0))


def is_fast_here(dtype: str) -> bool:
    """Whether this CPU multiplies such matrices faster than float32 ones."""
    return not _FAST_FLAGS[dtype].isdisjoint(cpu_flags())
