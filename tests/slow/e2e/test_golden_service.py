"""Every case that 1.10 computed, through a running server: tokens equal, vectors within 1e-5."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from command import Command
from folders import GOLDEN, TINY, TUNED

from bert_serving.client import BertClient

CASES = json.loads((GOLDEN / "cases.json").read_text())
TEXTS: dict[str, Any] = CASES["texts"]
SETTINGS = sorted({tuple(case["args"]) for case in CASES["cases"]})


@pytest.fixture(scope="module", params=SETTINGS, ids=lambda args: " ".join(args) or "defaults")
def setting(request: pytest.FixtureRequest) -> Iterator[tuple[tuple[str, ...], BertClient]]:
    args: tuple[str, ...] = request.param
    paths = [arg.replace("@TUNED", str(TUNED)) for arg in args]
    with Command("-model_dir", str(TINY), "-cpu", "-show_tokens_to_client", *paths) as server:
        server.wait_until_ready()
        with BertClient(port=server.port, port_out=server.port_out, check_length=False) as client:
            yield args, client


def test_cases_of_this_setting(setting: tuple[tuple[str, ...], BertClient]) -> None:
    args, client = setting
    cases = [case for case in CASES["cases"] if tuple(case["args"]) == args]
    assert cases
    with np.load(GOLDEN / "vectors.npz") as vectors:
        for case in cases:
            got, tokens = client.encode(TEXTS[case["texts"]], is_tokenized=case["is_tokenized"], show_tokens=True)
            assert tokens == case["tokens"]
            assert list(got.shape) == case["shape"]
            np.testing.assert_allclose(got, vectors[case["name"]], atol=1e-5, rtol=0)
