"""A text has the same vector whatever else is in its micro-batch: bit by bit on a CPU with AVX-512, else nearly.

With AVX2 alone oneDNN has a kernel of its own for what is left of a matrix after whole blocks of six rows, and that one
adds up in another order.
"""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bert_serving.server.engine.contract import Row

IS_EXACT = "avx512f" in Path("/proc/cpuinfo").read_text().split()
NEARLY, NEARLY_BFLOAT16 = 5e-6, 2e-2
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
    tolerance = NEARLY_BFLOAT16 if "dtype" in options else NEARLY
    engine = load_engine(max_seq_len=max_seq_len, **options)
    chance = random.Random(7)
    texts = [" ".join(chance.choices(WORDS, k=chance.randint(1, max_seq_len))) for _ in range(80)]
    rows = [row for row in engine.features(texts) if isinstance(row, Row)]
    alone = [engine.run([row])[0] for row in rows]
    for size in (2, 3, 17, 40, 80):
        places = chance.sample(range(len(rows)), size)
        for place, vector in zip(places, engine.run([rows[place] for place in places]), strict=True):
            if IS_EXACT:
                np.testing.assert_array_equal(vector, alone[place])
            else:
                np.testing.assert_allclose(vector, alone[place], rtol=0, atol=tolerance)


def test_only_xla_makes_code_on_a_cpu_and_once_a_shape(load_engine: Any) -> None:
    plain, compiled = load_engine(max_seq_len=60), load_engine(max_seq_len=60, xla=True)
    rows = [row for row in plain.features([" ".join(WORDS * 3)] * 3) if isinstance(row, Row)]
    assert not plain.compiles(rows)
    assert compiled.compiles(rows)
    compiled.run(rows)
    assert not compiled.compiles(rows)
    assert not compiled.compiles([*rows, rows[0]])  # four rows, as three, are padded to four
    assert compiled.compiles(rows[:1])
