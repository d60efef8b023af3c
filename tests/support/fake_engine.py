"""An engine without a model, for tests of the processes around it: a text's vector tells which text it was.

The vector of a text is `vector_of(text)`, and the negative of that if the model's folder is called `other`. Texts that
begin with "!" make the engine misbehave. Folders that are called as in `HEADS` have a classifier's head beside.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from bert_serving.server.config import ModelFacts, ServerConfig
from bert_serving.server.engine.contract import Chunks, FloatArray, Footprint, Made, Progress, Row, Texts, Vectors
from bert_serving.server.errors import ConfigError, StartError
from bert_serving.server.poolings import Needs, PoolingStrategy
from bert_serving.server.wanted import PooledView, Wanted, config_with, default_view

DIM = 8
OTHER = "other"
LAYERS, KEPT_LAYERS = 4, 3
HEADS = {"head": ("LABEL_0",), "labels": ("joy", "fear", "anger")}
MOST_TOKENS = 4
"""Words of a text, where a request says what becomes of one that is longer."""


def vector_of(text: str | Sequence[str]) -> FloatArray:
    """[8] float32, different for every text."""
    joined = text if isinstance(text, str) else " ".join(text)
    digest = hashlib.sha256(joined.encode()).digest()
    return (np.frombuffer(digest, np.uint32) / 2**32).astype(np.float32)


def vector_of_view(text: str | Sequence[str], view: PooledView) -> FloatArray:
    """[W] float32: different for every text, pooling and layer."""
    joined = text if isinstance(text, str) else " ".join(text)
    names = [f"{joined}|{one.name}|{layer}" for one in view.poolings for layer in view.layers]
    vector = np.concatenate([vector_of(name) for name in names])[: view.dimensions]
    return vector / np.linalg.norm(vector) if view.normalize else vector


def scores_of(text: str | Sequence[str], pooling: PoolingStrategy, labels: int) -> FloatArray:
    """[labels] float32: what a head says of a text or a pair."""
    joined = text if isinstance(text, str) else " ".join(text)
    logits = 8 * vector_of(f"{joined}|head")[:labels] - 4
    if pooling is PoolingStrategy.LOGITS:
        return logits
    shares: FloatArray = np.exp(logits)
    whole: FloatArray = 1 + shares if pooling is PoolingStrategy.REGRESSION else shares.sum(keepdims=True)
    return shares / whole


def expected(texts: Sequence[str | Sequence[str]]) -> FloatArray:
    """[N, 8] float32: what a server with this engine answers."""
    return np.stack([vector_of(text) for text in texts])


def fingerprint_of(config: ServerConfig) -> str:
    """Of the folder's name, as if it were the content, and of the options."""
    return hashlib.sha256(json.dumps([config.model_dir, config.vector_options()]).encode()).hexdigest()[:32]


class FakeEngine:
    """`Row.ids` is the text's UTF-8; so `run` finds the text again."""

    on_gpu = False

    def __init__(self, config: ServerConfig, lanes: int) -> None:
        self.lanes = lanes
        self.fingerprint = fingerprint_of(config)
        self._sign = np.float32(-1 if config.model_dir == OTHER else 1)
        self._config = config
        self._view = default_view(config)

    def fingerprint_with(self, wanted: Wanted) -> str:
        configs = [config_with(self._config, view) for view in wanted.views]
        parts = [fingerprint_of(config) for config in configs] + [wanted.texts.prompt] * bool(wanted.texts.prompt)
        return parts[0] if len(parts) == 1 else hashlib.sha256("".join(parts).encode()).hexdigest()[:32]

    def features(self, texts: Texts, wanted: Wanted | None = None) -> list[Made]:
        joined = [text if isinstance(text, str) else " ".join(map(str, text)) for text in texts]
        if wanted is None:
            return [self._row(text) for text in joined]
        return [self._wanted(text, wanted) for text in joined]

    def _wanted(self, text: str, wanted: Wanted) -> Made:
        views = () if wanted.views == (self._view,) else wanted.views
        words = text.split()
        parts = [" ".join(words[begin : begin + MOST_TOKENS]) for begin in range(0, len(words), MOST_TOKENS)]
        rows = [
            self._row(wanted.texts.prompt + one) for one in (parts if wanted.texts.truncate == "chunks" else [text])
        ]
        if wanted.texts.truncate == "error" and len(parts) > 1:
            return f"the text has more than {MOST_TOKENS} tokens"
        good = tuple(replace(row, views=views) for row in rows if isinstance(row, Row))
        if len(good) < len(rows):
            return "it cannot be tokenized"
        if wanted.texts.offsets and wanted.texts.truncate != "chunks":
            return replace(good[0], offsets=_characters(good[0], len(wanted.texts.prompt)))
        spans = tuple((text.index(one), text.index(one) + len(one)) for one in parts)
        return Chunks(good, spans) if wanted.texts.truncate == "chunks" else good[0]

    def _row(self, text: str) -> Row | str:
        if text == "!no-features":
            return "it cannot be tokenized"
        if text == "!tokenizer-crash":
            raise RuntimeError("tokenizer crash")
        if text.startswith("!slow-features "):
            time.sleep(float(text.split()[1]))
        return Row(list(text.encode()), len(text), (), truncated=text == "!truncated")

    def tokens(self, row: Row) -> list[str]:
        text = bytes(row.ids).decode()
        return list(text) if row.offsets else text.split()

    def compiles(self, rows: Sequence[Row]) -> bool:
        return any(bytes(row.ids).startswith(b"!compile") for row in rows)

    def run(self, rows: Sequence[Row], *, alone: bool = False) -> Vectors:
        texts = [bytes(row.ids).decode() for row in rows]
        for text in texts:
            if text.startswith(("!slow ", "!compile ")):
                time.sleep(float(text.split()[1]))
            if text.startswith("!hang"):
                time.sleep(3600)
        if "!die" in texts:
            os.kill(os.getpid(), signal.SIGKILL)
        if "!crash" in texts:
            raise RuntimeError("the model crashed")
        made = [self._vector(text, row) for text, row in zip(texts, rows, strict=True)]
        if len({row.views for row in rows}) == 1 and made[0].ndim == 1:
            return np.stack(made)
        return made

    def _vector(self, text: str, row: Row) -> FloatArray:
        """[W], or without pooling [length, W]."""
        views = row.views or (self._view,)
        made = [self._of_view(text, view) for view in row.views] if row.views else [vector_of(text)]
        vector: FloatArray = self._sign * np.concatenate(made)
        if text == "!nan":
            vector[3] = np.nan
        if views[0].is_pooled:
            return vector
        rows: FloatArray = np.repeat(vector[None], min(row.length, self._config.max_seq_len or row.length), axis=0)
        return rows

    def _of_view(self, text: str, view: PooledView) -> FloatArray:
        if view.needs is Needs.HEAD:
            return scores_of(text, view.poolings[0], len(self._config.labels))
        return vector_of_view(text, view)

    def close(self) -> None:
        pass


def _characters(row: Row, prompt: int) -> tuple[tuple[int, int], ...]:
    """Each character of an ASCII text is a token, if somebody asks; those of a prompt stand nowhere."""
    return ((0, 0),) * prompt + tuple((at, at + 1) for at in range(row.length - prompt))


def resolve(config: ServerConfig) -> ServerConfig:
    if config.model_dir == "refused":
        raise ConfigError("-model_dir refused: for the test")
    labels = HEADS.get(config.model_dir, ())
    kept = LAYERS if config.keep_layers else KEPT_LAYERS
    facts = ModelFacts(layers=LAYERS, kept_layers=kept, hidden=DIM, labels=len(labels))
    prompts = () if labels else (("query", "query: "), ("passage", "passage: "))
    return replace(config, vector_bytes=4 * DIM, facts=facts, prompts=prompts, labels=labels)


def footprint(config: ServerConfig) -> Footprint:
    return Footprint("nothing", 100 << 20, 200 << 20)


def prepare(config: ServerConfig, progress: Progress) -> str:
    if config.model_dir == "prepare-fails":
        raise StartError("the graph cannot be made")
    if config.model_dir == "prepare-hangs":
        time.sleep(3600)
    if config.model_dir.startswith("wait-for "):
        while not Path(config.model_dir.removeprefix("wait-for ")).exists():
            time.sleep(0.01)
    return "prepared"


def preload() -> None:
    pass


def load(config: ServerConfig, prepared: str, lanes: int, progress: Progress) -> FakeEngine:
    if prepared != "prepared":
        raise AssertionError(f"load got {prepared!r}, not what prepare returned")
    progress("loading nothing")
    if config.model_dir == "load-fails":
        raise StartError("the model cannot be loaded")
    if config.model_dir.startswith("load-until ") and Path(config.model_dir.removeprefix("load-until ")).exists():
        raise StartError("the model cannot be loaded any more")
    if config.model_dir == "load-crashes":
        raise KeyError("a bug")
    return FakeEngine(config, lanes)
