"""An engine that computes nothing: what is left of a request's time is what the messages cost.

A token is a word, and every vector is zeros, as wide as MiniLM's.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bert_serving.server.config import ServerConfig
from bert_serving.server.engine.contract import Progress, Row, Texts, Vectors

DIM = 384


class NoopEngine:
    """See `engine/contract.py` for what each method promises."""

    on_gpu = False

    def __init__(self, lanes: int) -> None:
        self.lanes = lanes

    def features(self, texts: Texts) -> list[Row | str]:
        lengths = [len(text.split() if isinstance(text, str) else text) for text in texts]
        return [Row([0] * length, length, ()) for length in lengths]

    def tokens(self, row: Row) -> list[str]:
        return [""] * row.length

    def compiles(self, rows: Sequence[Row]) -> bool:
        return False

    def run(self, rows: Sequence[Row]) -> Vectors:
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
    return NoopEngine(lanes)
