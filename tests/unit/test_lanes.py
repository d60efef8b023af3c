"""Lanes: every row gets its own outcome, whatever the engine does with a micro-batch."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from math import inf
from queue import SimpleQueue
from typing import NoReturn

import fake_engine
import numpy as np
import pytest

from bert_serving.server.config import ServerConfig
from bert_serving.server.engine.contract import Row, Vectors
from bert_serving.server.message.tickets import PartKey
from bert_serving.server.worker.batcher import Batcher, Limits
from bert_serving.server.worker.lanes import Lanes, Outcome, PlacedRow, encode_rows

KEY = PartKey(1, 0)
ENGINE = fake_engine.FakeEngine(ServerConfig(model_dir="M"), lanes=2)


def rows(*texts: str, deadline_s: float = inf) -> list[PlacedRow]:
    features = ENGINE.features(texts)
    return [PlacedRow(KEY, index, row, deadline_s) for index, row in enumerate(features) if isinstance(row, Row)]


def by_index(outcomes: list[Outcome]) -> dict[int, object]:
    found: dict[int, object] = {}
    for outcome in outcomes:
        for position, row in enumerate(outcome.rows):
            assert row.index not in found
            result = outcome.result
            found[row.index] = result if isinstance(result, str) or result is None else result[position]
    return found


@pytest.mark.parametrize("poison", ["!crash", "!nan"])
def test_a_bad_row_fails_alone(poison: str) -> None:
    texts = ["a", "b", poison, "c", "d", "e", "f"]
    found = by_index(encode_rows(ENGINE, rows(*texts)))
    assert set(found) == set(range(7))
    for index, text in enumerate(texts):
        if text == poison:
            assert isinstance(found[index], str)
        else:
            np.testing.assert_array_equal(found[index], fake_engine.vector_of(text))


def test_several_threads_leave_nothing_out() -> None:
    arrived = threading.Semaphore(0)
    lanes = Lanes(ENGINE, Limits(max_rows=4, max_tokens=64, spare_pairs=200), notify=arrived.release)
    texts = [f"text {number}" for number in range(100)]
    lanes.put(rows(*texts), urgent=False)
    found: dict[int, object] = {}
    while len(found) < 100:
        assert arrived.acquire(timeout=30)
        while not lanes.outcomes.empty():
            found |= by_index([lanes.outcomes.get()])
    lanes.close()
    for index, text in enumerate(texts):
        np.testing.assert_array_equal(found[index], fake_engine.vector_of(text))


def test_rows_without_a_token_run_as_all_others() -> None:
    arrived = threading.Semaphore(0)
    lanes = Lanes(ENGINE, Limits(max_rows=8, max_tokens=64, spare_pairs=200), notify=arrived.release)
    lanes.put(rows("", "a", "", "", "b", ""), urgent=True)
    found: dict[int, object] = {}
    while len(found) < 6:
        found |= by_index([lanes.outcomes.get(30)])
    lanes.close()
    for index, text in enumerate(["", "a", "", "", "b", ""]):
        np.testing.assert_array_equal(found[index], fake_engine.vector_of(text))


def test_what_nobody_waits_for_any_more_is_not_computed() -> None:
    arrived = threading.Semaphore(0)
    lanes = Lanes(ENGINE, Limits(max_rows=4, max_tokens=64, spare_pairs=200), notify=arrived.release)
    late, in_time = rows("a", "b", deadline_s=time.monotonic()), rows("c", "d", deadline_s=time.monotonic() + 600)
    lanes.put([*late, *(replace(row, index=row.index + 2) for row in in_time)], urgent=True)
    found: dict[int, object] = {}
    while len(found) < 4:
        assert arrived.acquire(timeout=30)
        while not lanes.outcomes.empty():
            found |= by_index([lanes.outcomes.get()])
    lanes.close()
    assert (found[0], found[1]) == (None, None)
    np.testing.assert_array_equal(found[2], fake_engine.vector_of("c"))
    assert lanes.tally.batch_rows == 2


def test_an_error_that_ends_a_lane_reaches_who_takes_outcomes(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> NoReturn:
        raise ArithmeticError("for the test")

    monkeypatch.setattr(Batcher, "next", fail)
    lanes = Lanes(ENGINE, Limits(max_rows=4, max_tokens=64, spare_pairs=200), notify=lambda: None)
    lanes.put(rows("a"), urgent=True)
    with pytest.raises(ArithmeticError, match="for the test"):
        lanes.outcomes.get(30)
    lanes.close()


class Told(fake_engine.FakeEngine):
    """Says of each run how many rows it has, and whether it was told that it is alone; holds it until it is let go."""

    def __init__(self, lanes: int) -> None:
        super().__init__(ServerConfig(model_dir="M"), lanes=lanes)
        self.runs: SimpleQueue[tuple[int, bool]] = SimpleQueue()
        self.let_go = threading.Semaphore(0)

    def run(self, rows: Sequence[Row], *, alone: bool = False) -> Vectors:
        self.runs.put((len(rows), alone))
        assert self.let_go.acquire(timeout=30)
        return super().run(rows, alone=alone)


def test_who_is_alone_is_told_so() -> None:
    engine = Told(lanes=2)
    lanes = Lanes(engine, Limits(max_rows=1, max_tokens=64, spare_pairs=200), notify=lambda: None)
    try:
        for _ in range(2):  # again, once it is quiet
            lanes.put(rows("a"), urgent=True)
            assert engine.runs.get(timeout=30) == (1, True)
            lanes.put(rows("b"), urgent=True)
            assert engine.runs.get(timeout=30) == (1, False), "another one runs"
            lanes.put(rows("c", "d"), urgent=True)
            engine.let_go.release()
            assert engine.runs.get(timeout=30) == (1, False), "another one runs, and one waits"
            engine.let_go.release(3)
            assert engine.runs.get(timeout=30)[0] == 1
            for _ in range(4):
                lanes.outcomes.get(30)
    finally:
        engine.let_go.release(10)
        lanes.close()


def test_the_first_of_several_is_not_alone() -> None:
    engine = Told(lanes=1)
    lanes = Lanes(engine, Limits(max_rows=1, max_tokens=64, spare_pairs=200), notify=lambda: None)
    engine.let_go.release(3)
    lanes.put(rows("a", "b", "c"), urgent=True)
    assert [engine.runs.get(timeout=30)[1] for _ in range(3)] == [False, False, True]
    lanes.close()
