"""From texts to rows, and from vectors to where they belong: the same for a worker and for bulk. No socket, no thread.

An error in one text fails only that text.
"""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Sequence
from typing import Any, cast

from bert_serving.server.config import ServerConfig
from bert_serving.server.engine.contract import Chunks, Engine, Made, Row, Vectors
from bert_serving.server.log import Throttle
from bert_serving.server.message.assembly import Assembly
from bert_serving.server.message.tickets import PartKey
from bert_serving.server.wanted import Wanted
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


def features_of(engine: Engine, texts: Sequence[Any], wanted: Wanted | None = None) -> list[Made]:
    """`Engine.features`. If that fails, halves are tried alone, and so on, until the texts that fail are isolated."""
    try:
        return engine.features(texts, wanted)
    except BaseException as error:  # a panic of the tokenizer's library is no Exception
        if len(texts) == 1:
            return failed_texts(1, error)
        half = len(texts) // 2
        return [*features_of(engine, texts[:half], wanted), *features_of(engine, texts[half:], wanted)]


def failed_texts(count: int, error: BaseException) -> list[Made]:
    """What replaces this many rows, which do not exist for this reason."""
    _failed.count(count, time.monotonic(), error=error)
    return [f"tokenization failed: {type(error).__name__}"] * count


def placed(key: PartKey, first: int, rows: Sequence[Made], deadline_s: float) -> list[PlacedRow]:
    """Those that are to run, of the rows from position `first` on of a part."""
    if set(map(type, rows)) == {Row}:  # nearly always
        return [PlacedRow(key, index, row, deadline_s) for index, row in enumerate(cast(Sequence[Row], rows), first)]
    found = []
    for index, row in enumerate(rows, first):
        if isinstance(row, Row):
            found.append(PlacedRow(key, index, row, deadline_s))
        elif isinstance(row, Chunks):
            found += [PlacedRow(key, index, one, deadline_s, number) for number, one in enumerate(row.rows)]
    return found


def note(assembly: Assembly, first: int, rows: Sequence[Made], tokens: Sequence[list[str]] = ()) -> None:
    """What is known of the rows from position `first` on before they run."""
    assembly.num_tokens[first : first + len(rows)] = [0 if isinstance(row, str) else row.length for row in rows]
    for index, row in enumerate(rows, first):
        if type(row) is Row and not row.truncated and not row.offsets:
            continue  # nearly always
        if isinstance(row, str):
            assembly.fail(index, row)
        elif row.truncated:
            assembly.truncated.add(index)
        if isinstance(row, Chunks):
            assembly.chunks[index] = row.spans
            assembly.offsets[index] = [span for one in row.rows for span in one.offsets]
        elif isinstance(row, Row) and row.offsets:
            assembly.offsets[index] = row.offsets
            assembly.ids[index], assembly.special[index] = row.ids, row.special
    if tokens:
        assembly.tokens.update(enumerate(tokens, first))


def place(assembly: Assembly, where: Sequence[int], result: Vectors | str) -> None:
    """Put the vectors of these rows where they belong, or the sentence that says why there are none."""
    if isinstance(result, str):
        for index in where:
            assembly.fail(index, result)
    else:
        assembly.put(where, result)
