"""On a CPU a text has the same vector, bit by bit, whatever else is in its micro-batch."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest

from bert_serving.server.engine.contract import Row

pytestmark = pytest.mark.tensorflow

WORDS = ["the", "cat", "sat", "on", "a", "mat", "and", "looked", "while", "rain", "fell", "over", "green", "hills"]


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"normalize": True},
        {"pooling_strategy": "NONE"},
        {"pooling_strategy": "REDUCE_MEAN_MAX", "pooling_layer": [-1, -2]},
        {"pooling_strategy": "CLS_POOLED"},
        {"dtype": "bfloat16"},
    ],
    ids=str,
)
@pytest.mark.parametrize("max_seq_len", [25, 60])
def test_no_bit_depends_on_the_batch(load_engine: Any, options: dict[str, Any], max_seq_len: int) -> None:
    engine = load_engine(max_seq_len=max_seq_len, **options)
    chance = random.Random(7)
    texts = [" ".join(chance.choices(WORDS, k=chance.randint(1, max_seq_len))) for _ in range(80)]
    rows = [row for row in engine.features(texts) if isinstance(row, Row)]
    alone = [engine.run([row])[0] for row in rows]
    for size in (2, 3, 17, 40, 80):
        places = chance.sample(range(len(rows)), size)
        for place, vector in zip(places, engine.run([rows[place] for place in places]), strict=True):
            np.testing.assert_array_equal(vector, alone[place])
