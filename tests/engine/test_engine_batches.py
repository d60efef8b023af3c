"""A text has the same vector whatever else is in its micro-batch: bit by bit on a CPU with AVX-512, else nearly.

With AVX2 alone oneDNN has a kernel of its own for what is left of a matrix after whole blocks of six rows, and that one
adds up in another order.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pytest
from architectures import ARCHITECTURES

from bert_serving.server.engine import graph_call
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
        some = [rows[place] for place in places]
        for place, vector in zip(places, engine.run(some), strict=True):
            if not IS_EXACT:
                np.testing.assert_allclose(vector, alone[place], rtol=0, atol=tolerance)
            elif (vector != alone[place]).any():
                again, alone_again = engine.run(some)[places.index(place)], engine.run([rows[place]])[0]
                pytest.fail(
                    f"{np.count_nonzero(vector != alone[place])} numbers differ, by up to "
                    f"{np.abs(vector - alone[place]).max()}, for row {place} of {rows[place].length} tokens beside "
                    f"{size - 1} others of {sum(row.length for row in some)} tokens in all; once more, its batch gives "
                    f"{'the same' if (again == vector).all() else 'others'}, and by itself it gives "
                    f"{'the same' if (alone_again == alone[place]).all() else 'others'}"
                )


@pytest.mark.parametrize(
    ("family", "options"),
    [
        ("mpnet", {}),
        ("mpnet", {"dtype": "bfloat16"}),
        ("modernbert", {}),
        ("bert_unigram", {"pooling_strategy": "NONE"}),
        ("bert_unigram", {"dtype": "bfloat16"}),
    ],
)
def test_no_bit_depends_on_who_works_on_a_text(load_engine: Any, family: str, options: dict[str, Any]) -> None:
    """Alone, several threads share it."""
    engine = load_engine(model_dir=str(ARCHITECTURES / family), **options)
    chance = random.Random(3)
    texts = [" ".join(chance.choices(WORDS, k=chance.randint(1, 20))) for _ in range(40)]
    rows = [row for row in engine.features(texts) if isinstance(row, Row)]
    for first in range(0, len(rows), 3):
        for some in (rows[first : first + 1], rows[first : first + 3]):
            for found, expected in zip(engine.run(some, alone=True), engine.run(some), strict=True):
                np.testing.assert_array_equal(found, expected)


def test_heads_that_cannot_be_shared_are_not(load_engine: Any, torch_folder: Callable[..., Path]) -> None:
    folder = torch_folder(num_attention_heads=3)
    whole, packed = load_engine(model_dir=str(folder), xla=True), load_engine(model_dir=str(folder))
    rows = [row for row in packed.features([" ".join(WORDS), "cat"]) if isinstance(row, Row)]
    for some in (rows[:1], rows):
        np.testing.assert_allclose(packed.run(some, alone=True), whole.run(some), rtol=0, atol=NEARLY)


def test_a_tensorflow_whose_private_calls_have_changed(
    load_engine: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    usual = load_engine()

    def changed(*_: object) -> NoReturn:
        raise AttributeError("for the test")

    monkeypatch.setattr(graph_call, "_private", changed)
    slow = load_engine(graph_tmp_dir=str(tmp_path))
    rows = [row for row in usual.features([" ".join(WORDS), "cat"]) if isinstance(row, Row)]
    for alone in (False, True):
        np.testing.assert_array_equal(slow.run(rows, alone=alone), usual.run(rows))


def test_only_xla_makes_code_on_a_cpu_and_once_a_shape(load_engine: Any) -> None:
    plain, compiled = load_engine(max_seq_len=60), load_engine(max_seq_len=60, xla=True)
    rows = [row for row in plain.features([" ".join(WORDS * 3)] * 3) if isinstance(row, Row)]
    assert not plain.compiles(rows)
    assert compiled.compiles(rows)
    compiled.run(rows)
    assert not compiled.compiles(rows)
    assert not compiled.compiles([*rows, rows[0]])  # four rows, as three, are padded to four
    assert compiled.compiles(rows[:1])
