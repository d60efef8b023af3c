"""Time one engine over all lengths: what both processes of `make gpu` share."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from gpu.sizes import BATCH_TOKENS, LENGTHS

Ids = np.ndarray[Any, np.dtype[np.int32]]

WARM_UPS, ROUNDS = 3, 7
ROUND_S = 0.5


def measure(run: Callable[[Ids], object], folder: str) -> None:
    """Print a line of JSON for each length. `run` encodes `[rows, length]`, and returns when the vectors are here."""
    vocabulary = json.loads((Path(folder) / "config.json").read_text("utf-8"))["vocab_size"]
    rng = np.random.default_rng(0)
    for length in LENGTHS:
        rows = BATCH_TOKENS // length
        ids = rng.integers(5, vocabulary, (rows, length)).astype(np.int32)
        for _ in range(WARM_UPS):
            run(ids)
        rates = []
        for _ in range(ROUNDS):
            count, begin_s = 0, time.perf_counter()
            while (spent_s := time.perf_counter() - begin_s) < ROUND_S:
                run(ids)
                count += rows
            rates.append(count / spent_s)
        print(json.dumps({"length": length, "texts_per_s": statistics.median(rates)}), flush=True)
