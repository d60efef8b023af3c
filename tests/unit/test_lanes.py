"""Lanes: every row gets its own outcome, whatever the engine does with a micro-batch."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from math import inf

import fake_engine
import numpy as np
import pytest

from bert_serving.server.config import ServerConfig
from bert_serving.server.message.tickets import PartKey
from bert_serving.server.worker.batcher import Limits
from bert_serving.server.worker.lanes import Lanes, Outcome, PlacedRow, encode_rows

KEY = PartKey(1, 0)
ENGINE = fake_engine.FakeEngine(ServerConfig(model_dir="M"), lanes=2)


def rows(*texts: str, deadline_s: float = inf) -> list[PlacedRow]:
    features = ENGINE.features(texts)
    return [PlacedRow(KEY, index, row, deadline_s) for index, row in enumerate(features) if not isinstance(row, str)]


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
