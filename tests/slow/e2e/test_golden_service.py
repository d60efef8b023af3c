"""Cases that 1.10 computed, through a running server: tokens equal, vectors within 1e-5.

All go through the engine alone in tests/engine/test_engine_golden.py, and those of the defaults through a server in
test_whole_paths.py. Here are those in which more than the engine has a part: lengths, tokens, another checkpoint.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from command import Command
from folders import GOLDEN, TINY, TUNED

from bert_serving.client import BertClient

CASES = json.loads((GOLDEN / "cases.json").read_text())
TEXTS: dict[str, Any] = CASES["texts"]
SETTINGS = [
    "-pooling_strategy NONE",
    "-pooling_strategy NONE -max_seq_len NONE",
    "-cased_tokenization -max_seq_len NONE",
    "-tuned_model_dir @TUNED -ckpt_name model.ckpt-343 -pooling_strategy CLS_POOLED",
]


@pytest.mark.parametrize("setting", SETTINGS)
def test_cases_of_this_setting(setting: str) -> None:
    cases = [case for case in CASES["cases"] if " ".join(case["args"]) == setting]
    assert cases
    options = setting.replace("@TUNED", str(TUNED)).split()
    with (
        Command("-model_dir", str(TINY), "-cpu", "-show_tokens_to_client", *options) as server,
        np.load(GOLDEN / "vectors.npz") as vectors,
        BertClient(**server.wait_until_ready().ports, check_length=False) as client,
    ):
        for case in cases:
            got, tokens = client.encode(TEXTS[case["texts"]], is_tokenized=case["is_tokenized"], show_tokens=True)
            assert tokens == case["tokens"]
            assert list(got.shape) == case["shape"]
            np.testing.assert_allclose(got, vectors[case["name"]], atol=1e-5, rtol=0)
