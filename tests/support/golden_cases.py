"""What 1.10 was asked, with which arguments it was started, and what it answered."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from folders import GOLDEN

from bert_serving.client import BertClient

CONTENT: dict[str, Any] = json.loads((GOLDEN / "cases.json").read_text("utf-8"))


def cases_of(setting: str) -> list[dict[str, Any]]:
    """Those of a server with these arguments, "" for none."""
    return [case for case in CONTENT["cases"] if " ".join(case["args"]) == setting]


def assert_answers(client: BertClient, setting: str) -> None:
    """A server with these arguments gives the client 1.10's tokens and, within 1e-5, its vectors."""
    cases = cases_of(setting)
    assert cases
    with np.load(GOLDEN / "vectors.npz") as vectors:
        for case in cases:
            texts = CONTENT["texts"][case["texts"]]
            found, tokens = client.encode(texts, is_tokenized=case["is_tokenized"], show_tokens=True)
            assert tokens == case["tokens"]
            assert list(found.shape) == case["shape"]
            np.testing.assert_allclose(found, vectors[case["name"]], atol=1e-5, rtol=0)
