"""The compute side of a worker: threads ("lanes") that take micro-batches from one batcher and run the engine.

The worker's tokenizing threads feed rows in and its I/O thread takes `Outcome`s out; lanes touch no socket.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import inf
from typing import Union

import numpy as np

from bert_serving.server.engine.contract import Engine, FloatArray, Row, Vectors
from bert_serving.server.log import Throttle
from bert_serving.server.message.tickets import PartKey
from bert_serving.server.worker.batcher import Batcher, Limits
from bert_serving.server.worker.results import Results
from bert_serving.server.worker.watch import Watch

log = logging.getLogger(__name__)

_failed = Throttle(log, "the model failed on %d row(s)")


@dataclass(slots=True)  # not frozen, which would take four times as long for every row
class PlacedRow:
    """A row and where its result belongs: position `index` of a part. After `deadline_s` nobody needs it.

    `chunk`: it is only that part of its text; None for all of it.
    """

    part: PartKey
    index: int
    features: Row
    deadline_s: float
    chunk: int | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of some rows: their vectors, a sentence that says why there are none, or None if it was too late."""

    rows: list[PlacedRow]
    result: Union[Vectors, str, None]


@dataclass(slots=True)
class Tally:
    """What has run so far. `padded_tokens` is rows times the longest of them, summed over micro-batches.

    `compute_s` adds up what lanes needed that ran side by side.
    """

    batches: int = 0
    batch_rows: int = 0
    tokens: int = 0
    padded_tokens: int = 0
    compute_s: float = 0.0

    def add(self, lengths: Sequence[int]) -> None:
        """A micro-batch runs, with rows of these lengths, and maybe a probe (job 0)."""
        if not lengths:
            return
        self.batches += 1
        self.batch_rows += len(lengths)
        self.tokens += sum(lengths)
        self.padded_tokens += len(lengths) * max(lengths)


class Lanes:
    """Runs `engine` on whatever is `put`, in `engine.lanes` threads. `notify` is called when an outcome is ready.

    A run may take `timeout_s`, or `compile_timeout_s` where code is made for it; see `hung_s`.
    """

    def __init__(
        self,
        engine: Engine,
        limits: Limits,
        notify: Callable[[], None],
        *,
        timeout_s: float = inf,
        compile_timeout_s: float = inf,
    ) -> None:
        self.outcomes: Results[Outcome] = Results(notify)
        self.tally = Tally()
        self._engine = engine
        self._batcher: Batcher[PlacedRow] = Batcher(limits, engine.lanes)
        self._changed = threading.Condition()
        self._closed = False
        self._busy = 0
        """Lanes that run a micro-batch."""
        self._watch = Watch(timeout_s)
        self._compile_timeout_s = max(timeout_s, compile_timeout_s)
        self._threads = [self.outcomes.start(f"lane-{number}", self._run) for number in range(engine.lanes)]

    def put(self, rows: Sequence[PlacedRow], urgent: bool) -> None:
        """Let these rows run."""
        now_s = time.monotonic()
        with self._changed:
            self._batcher.add(rows, [row.features.length for row in rows], now_s, urgent=urgent)
            self._changed.notify(len(rows))  # no more lanes than can find a row

    def drop_waiting(self) -> None:
        """Forget the rows that wait; those that run come out."""
        with self._changed:
            self._batcher.clear()

    def hung_s(self, now_s: float) -> float | None:
        """For how many seconds a run has not ended, or no lane has taken what waits, if that is too long."""
        with self._changed:
            return self._watch.look(now_s, waiting=len(self._batcher) > 0)

    def close(self) -> None:
        """End the lanes after the micro-batches that run now; waiting rows are dropped."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    def _run(self) -> None:
        while (taken := self._take()) is not None:
            begin_s = time.perf_counter()
            outcomes = encode_rows(self._engine, *taken, self._begin)
            with self._changed:
                self._busy -= 1
                self._watch.end(threading.current_thread().name, time.monotonic())
                self.tally.compute_s += time.perf_counter() - begin_s
            for outcome in outcomes:
                self.outcomes.put(outcome)
            self.outcomes.notify()

    def _begin(self, rows: list[Row]) -> None:
        """A lane is about to run these."""
        name, limit_s = threading.current_thread().name, None
        if self._engine.compiles(rows):
            limit_s = self._compile_timeout_s
        with self._changed:
            self._watch.end(name, time.monotonic())
            self._watch.begin(name, time.monotonic(), limit_s)

    def _take(self) -> tuple[list[PlacedRow], bool] | None:
        """The next micro-batch, waiting for one, and whether it is alone here; None at the end."""
        with self._changed:
            while not self._closed:
                now_s = time.monotonic()
                batch = self._batcher.next(now_s)
                in_time = [row for row in batch if row.deadline_s > now_s]
                if len(in_time) < len(batch):
                    self.outcomes.put(Outcome([row for row in batch if row.deadline_s <= now_s], None))
                    self.outcomes.notify()
                if in_time:
                    self.tally.add([row.features.length for row in in_time if row.part.job])
                    self._busy += 1
                    return in_time, self._busy == 1 and not len(self._batcher)
                if not batch:
                    self._changed.wait()
            return None


def encode_rows(
    engine: Engine,
    rows: list[PlacedRow],
    alone: bool = False,
    begin: Callable[[list[Row]], None] = lambda rows: None,
) -> list[Outcome]:
    """Run one micro-batch. If it fails its halves run by themselves, and so on, until the rows that fail are isolated.

    `begin` is called before each run.
    """
    features = [row.features for row in rows]
    try:
        begin(features)
        vectors = engine.run(features, alone=alone)
        bad = _not_finite(vectors)
    except Exception as error:
        if len(rows) == 1:
            _failed.count(1, time.monotonic(), error=error)
            return [Outcome(rows, f"the model failed: {type(error).__name__}: {_first_line(error)}")]
        half = len(rows) // 2
        return encode_rows(engine, rows[:half], alone, begin) + encode_rows(engine, rows[half:], alone, begin)
    if not bad:
        return [Outcome(rows, vectors)]
    good = [position for position in range(len(rows)) if position not in bad]
    outcomes = [Outcome([rows[position]], "its vector is not finite (NaN or infinite)") for position in bad]
    if good:
        outcomes.append(Outcome([rows[position] for position in good], select(vectors, good)))
    return outcomes


def select(vectors: Vectors, positions: Sequence[int]) -> Vectors:
    """Some of the rows."""
    if isinstance(vectors, np.ndarray):
        return vectors[list(positions)]
    return [vectors[position] for position in positions]


def _not_finite(vectors: Vectors) -> set[int]:
    def finite(array: FloatArray) -> bool:
        # a sum is infinite or NaN if a term is, and costs no mask; it may overflow too, hence the second look
        return bool(np.isfinite(array.sum(dtype=np.float64)))

    if isinstance(vectors, np.ndarray) and finite(vectors):
        return set()
    return {position for position, row in enumerate(vectors) if not bool(np.isfinite(row).all())}


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or ["no reason given"])[0][:300]
