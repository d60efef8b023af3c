"""An engine that computes nothing: what is left of a request's time is what the messages cost.

A token is a word, and every vector is zeros, as wide as MiniLM's. Runs with the server of another commit, too.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bert_serving.server.config import ServerConfig
from bert_serving.server.engine.contract import Progress, Row, Texts, Vectors
from compare import sources

DIM = 384
WORKERS = "COMPARE_WORKERS"
"""Environment variable: a folder to which each worker writes an empty file that is named by its process id."""


class NoopEngine:
    """See `engine/contract.py` for what each method promises."""

    on_gpu = False
    fingerprint = "none"

    def __init__(self, lanes: int) -> None:
        self.lanes = lanes

    def fingerprint_with(self, wanted: object) -> str:
        return self.fingerprint

    def features(self, texts: Texts, wanted: object = None) -> list[Any]:
        lengths = [len(text.split() if isinstance(text, str) else text) for text in texts]
        return [Row([0] * length, length, ()) for length in lengths]

    def tokens(self, row: Row) -> list[str]:
        return [""] * row.length

    def compiles(self, rows: Sequence[Row]) -> bool:
        return False

    def run(self, rows: Sequence[Row], *, alone: bool = False) -> Vectors:
        return np.zeros((len(rows), DIM), np.float32)

    def close(self) -> None:
        pass


def resolve(config: ServerConfig) -> ServerConfig:
    return config


def prepare(config: ServerConfig, progress: Progress) -> str:
    return ""


def preload() -> None:
    pass


def load(config: ServerConfig, prepared: str, lanes: int, progress: Progress) -> NoopEngine:
    sources.check(sources.CLIENT, sources.SERVER)
    if folder := os.environ.get(WORKERS):
        (Path(folder) / str(os.getpid())).touch()
    return NoopEngine(lanes)
