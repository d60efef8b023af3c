"""This server's engine alone, in process: own_engine MODEL_FOLDER TOKENS TEXTS.json DTYPE

It has the lanes that a worker would have, and texts in micro-batches as large as a worker's, sorted by length. It is
asked as the peers are, see `peer`.
"""

from __future__ import annotations

import os
import statistics
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields
from functools import partial
from inspect import signature
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from bert_serving.server.config import ServerConfig
from bert_serving.server.devices import device_environment
from bert_serving.server.engine import tensorflow_engine
from bert_serving.server.engine.contract import Row
from bert_serving.server.engine.tensorflow_engine import TensorFlowEngine
from bert_serving.server.worker.encoder import CPU_BATCH_TOKENS
from compare.encoder import MOST_TOKENS
from compare.protocol import pin, serve, texts_of, timed
from compare.texts import sentences


def has_dtypes() -> bool:
    """Whether the server can be asked for a numeric type."""
    return "dtype" in {option.name for option in fields(ServerConfig)}


def load_engine(folder: str, dtype: str, lanes: int, tokens: int = MOST_TOKENS) -> TensorFlowEngine:
    """The engine as a worker loads it, for texts of at most so many tokens."""
    os.environ.update(device_environment(None, verbose=False))
    typed = {"dtype": dtype} if has_dtypes() else {}
    given = {"model_dir": folder, "cpu": True, "max_seq_len": tokens, "pooling_layer": [-1], "no_normalize": True}
    with TemporaryDirectory(prefix="compare-") as graphs:
        values = {**given, **typed, "graph_tmp_dir": graphs}
        config = tensorflow_engine.resolve(ServerConfig.from_mapping(values))
        prepared = tensorflow_engine.prepare(config, lambda stage: None)
        return tensorflow_engine.load(config, prepared, lanes, lambda stage: None)


def micro_batches(rows: list[Row]) -> list[list[int]]:
    """Positions of rows that run together: sorted by length, longest first, so that both lanes end at a time."""
    batches: list[list[int]] = []
    for position in sorted(range(len(rows)), key=lambda position: -rows[position].length):
        if not batches or (len(batches[-1]) + 1) * rows[batches[-1][0]].length > CPU_BATCH_TOKENS:
            batches.append([])
        batches[-1].append(position)
    return batches


class OwnEngine:
    """Answers as a peer does; `kind` is the type that the engine was loaded with."""

    def __init__(self, engine: TensorFlowEngine, texts: list[str]) -> None:
        self._engine = engine
        self._texts = texts
        self._short = sentences(texts)
        self._lanes = ThreadPoolExecutor(engine.lanes)
        # an earlier engine is told nothing of that
        self._alone = {"alone": True} if "alone" in signature(engine.run).parameters else {}

    def warm_up(self, kind: str) -> dict[str, Any]:
        """Loading encoded a sentence already."""
        return {}

    def bulk(self, kind: str, start: int, stop: int, step: int, save: str = "") -> dict[str, Any]:
        """Every `step`th text of a span, tokenized and run."""
        texts = self._texts[start:stop:step]
        vectors: list[Any] = []
        took_s = timed(lambda: vectors.append(self._vectors(texts)))
        if save:
            np.save(save, vectors[0])
        return {"rate": len(texts) / took_s}

    def single(self, kind: str, calls: int) -> dict[str, Any]:
        """One sentence a call."""
        took = []
        for number in range(calls):
            took.append(timed(partial(self._vector, self._short[number % len(self._short)])))
        return {"p50_ms": statistics.median(took) * 1e3}

    def _vector(self, text: str) -> Any:
        """As a worker has it done that has nothing else to do."""
        return self._engine.run(self._rows([text]), **self._alone)

    def _rows(self, texts: list[str]) -> list[Row]:
        return [row for row in self._engine.features(texts) if isinstance(row, Row)]

    def _vectors(self, texts: list[str]) -> Any:
        rows = self._rows(texts)
        batches = micro_batches(rows)
        ran = list(self._lanes.map(lambda batch: self._engine.run([rows[index] for index in batch]), batches))
        result = np.concatenate(ran).astype(np.float32)
        result[np.concatenate(batches)] = result.copy()
        return result


def main() -> None:
    folder, tokens, texts, dtype = sys.argv[1:]
    lanes = pin()
    own = OwnEngine(load_engine(folder, dtype, lanes, int(tokens)), texts_of(texts))
    serve({"warm_up": own.warm_up, "bulk": own.bulk, "single": own.single})


if __name__ == "__main__":
    main()
