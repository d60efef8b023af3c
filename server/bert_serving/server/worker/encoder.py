"""Texts to rows, and their vectors to where they belong: the same for a worker and for bulk. No socket, no thread.

Whatever goes wrong with a text is blamed on that text alone.
"""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Sequence
from typing import Any

from bert_serving.server.config import ServerConfig
from bert_serving.server.engine.contract import Engine, Row, Vectors
from bert_serving.server.log import Throttle
from bert_serving.server.message.assembly import Assembly
from bert_serving.server.message.tickets import PartKey
from bert_serving.server.worker.batcher import Limits
from bert_serving.server.worker.lanes import PlacedRow

log = logging.getLogger(__name__)

CPU_BATCH_TOKENS = 1024
CPU_SPARE_PAIRS = 4000
"""A batch more costs a CPU about as much as 20 to 40 tokens, and a token as much as some 800 pairs in attention."""
GPU_BATCH_TOKENS = 16384
"""On a GPU a batch more costs as much as thousands of tokens: rows of any length may share one."""

_failed = Throttle(log, "%d text(s) could not be tokenized")


def limits_of(config: ServerConfig, on_gpu: bool) -> Limits:
    """Of the micro-batches of an engine."""
    max_tokens = config.max_batch_tokens or (GPU_BATCH_TOKENS if on_gpu else CPU_BATCH_TOKENS)
    return Limits(config.max_batch_size, max_tokens, sys.maxsize if on_gpu else CPU_SPARE_PAIRS)


def features_of(engine: Engine, texts: Sequence[Any]) -> list[Row | str]:
    """`Engine.features`. If that fails, halves are tried alone, and so on, until the texts that fail stand alone."""
    try:
        return engine.features(texts)
    except BaseException as error:  # a panic of the tokenizer's library is no Exception
        if len(texts) == 1:
            return failed_texts(1, error)
        half = len(texts) // 2
        return [*features_of(engine, texts[:half]), *features_of(engine, texts[half:])]


def failed_texts(count: int, error: BaseException) -> list[Row | str]:
    """What stands in the place of so many rows, of which there are none for this reason."""
    _failed.count(count, time.monotonic(), error=error)
    return [f"tokenization failed: {type(error).__name__}"] * count


def placed(key: PartKey, first: int, rows: Sequence[Row | str], deadline_s: float) -> list[PlacedRow]:
    """Those that are to run, of the rows from position `first` on of a part."""
    return [PlacedRow(key, index, row, deadline_s) for index, row in enumerate(rows, first) if isinstance(row, Row)]


def note(assembly: Assembly, first: int, rows: Sequence[Row | str], tokens: Sequence[list[str]] = ()) -> None:
    """What is known of the rows from position `first` on before they run."""
    lengths = [0 if isinstance(row, str) else row.length for row in rows]
    assembly.num_tokens[first : first + len(rows)] = lengths
    for index, row in enumerate(rows, first):
        if isinstance(row, str):
            assembly.fail(index, row)
        elif row.truncated:
            assembly.truncated.add(index)
    if tokens:
        assembly.tokens.update(enumerate(tokens, first))


def place(assembly: Assembly, where: Sequence[int], result: Vectors | str) -> None:
    """Put the vectors of these rows where they belong, or the sentence that says why there are none."""
    if isinstance(result, str):
        for index in where:
            assembly.fail(index, result)
    else:
        assembly.put(where, result)
