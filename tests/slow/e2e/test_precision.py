"""`-fp16` and `-xla` change how it is computed, not what comes out."""

from __future__ import annotations

import json

import numpy as np
import pytest
from command import Command
from folders import GOLDEN, TINY

from bert_serving.client import BertClient

TEXTS: list[str] = json.loads((GOLDEN / "cases.json").read_text())["texts"]["plain"]


@pytest.mark.parametrize(("flag", "dtype", "worst"), [("-fp16", "float16", 0.9999), ("-xla", "float32", 0.999999)])
def test_the_vectors_stay_the_same(flag: str, dtype: str, worst: float) -> None:
    with Command("-model_dir", str(TINY), "-cpu", flag) as server:
        server.wait_until_ready()
        with BertClient(**server.ports, check_length=False) as client:
            vectors = client.encode(TEXTS)
    with np.load(GOLDEN / "vectors.npz") as golden:
        expected = golden["case_00"].astype(np.float64)
    assert vectors.dtype.name == dtype
    got = vectors.astype(np.float64)
    cosines = (got * expected).sum(axis=1) / np.linalg.norm(got, axis=1) / np.linalg.norm(expected, axis=1)
    assert cosines.min() > worst
