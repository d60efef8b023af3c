"""An engine without a model, for tests of the processes around it: a text's vector tells which text it was.

The vector of a text is `vector_of(text)`. Texts that begin with "!" make the engine misbehave.
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

from bert_serving.server.config import PoolingStrategy, ServerConfig
from bert_serving.server.engine.contract import FloatArray, Footprint, Progress, Row, Texts, Vectors
from bert_serving.server.errors import ConfigError, StartError

DIM = 8


def vector_of(text: str | Sequence[str]) -> FloatArray:
    """[8] float32, different for every text."""
    joined = text if isinstance(text, str) else " ".join(text)
    digest = hashlib.sha256(joined.encode()).digest()
    return (np.frombuffer(digest, np.uint32) / 2**32).astype(np.float32)


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
        self._pooled = config.pooling_strategy is not PoolingStrategy.NONE

    def features(self, texts: Texts) -> list[Row | str]:
        return [self._row(text if isinstance(text, str) else " ".join(map(str, text))) for text in texts]

    def _row(self, text: str) -> Row | str:
        if text == "!no-features":
            return "it cannot be tokenized"
        if text == "!tokenizer-crash":
            raise RuntimeError("tokenizer crash")
        if text.startswith("!slow-features "):
            time.sleep(float(text.split()[1]))
        return Row(list(text.encode()), len(text), (), truncated=text == "!truncated")

    def tokens(self, row: Row) -> list[str]:
        return bytes(row.ids).decode().split()

    def compiles(self, rows: Sequence[Row]) -> bool:
        return any(bytes(row.ids).startswith(b"!compile") for row in rows)

    def run(self, rows: Sequence[Row]) -> Vectors:
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
        vectors = np.stack([vector_of(text) for text in texts])
        for position, text in enumerate(texts):
            if text == "!nan":
                vectors[position, 3] = np.nan
        if self._pooled:
            return vectors
        return [np.repeat(vector[None], row.length, axis=0) for vector, row in zip(vectors, rows, strict=True)]

    def close(self) -> None:
        pass


def resolve(config: ServerConfig) -> ServerConfig:
    if config.model_dir == "refused":
        raise ConfigError("-model_dir refused: for the test")
    return replace(config, vector_bytes=4 * DIM)


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
