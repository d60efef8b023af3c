"""Every case of `golden/`: the tokens and vectors that bert-as-service 1.10 computed."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from folders import GOLDEN, TINY, TUNED

from bert_serving.server.engine.contract import Row
from bert_serving.server.engine.tensorflow_engine import TensorFlowEngine
from bert_serving.server.options import get_args_parser

CASES = json.loads((GOLDEN / "cases.json").read_text("utf-8"))["cases"]


def options_of(arguments: list[str]) -> dict[str, Any]:
    """The options that a case's arguments give, as the command reads them."""
    words = ["-model_dir", str(TINY), *(str(TUNED) if word == "@TUNED" else word for word in arguments)]
    given, without = (vars(get_args_parser().parse_args(some)) for some in (words, words[:2]))
    return {name: value for name, value in given.items() if value != without[name]}


@pytest.mark.parametrize("case", CASES, ids=lambda case: " ".join([case["name"], case["texts"], *case["args"]]))
def test_case_of_the_original(
    case: dict[str, Any], golden: dict[str, Any], load_engine: Callable[..., TensorFlowEngine]
) -> None:
    engine = load_engine(**options_of(case["args"]))
    rows = [row for row in engine.features(golden["texts"][case["texts"]]) if isinstance(row, Row)]

    assert [engine.tokens(row) for row in rows] == case["tokens"]
    if case["input_ids"] is not None:
        width = len(case["input_ids"][0])
        assert [row.ids + [0] * (width - row.length) for row in rows] == case["input_ids"]

    expected = np.load(GOLDEN / "vectors.npz")[case["name"]]
    found = engine.run(rows)
    if isinstance(found, list):  # pooling NONE: 1.10 pads with zeros
        found = np.stack([np.pad(row, ((0, expected.shape[1] - len(row)), (0, 0))) for row in found])
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)
    assert found.dtype == np.float32


def test_every_kind_of_case_is_there() -> None:
    asked = {argument for case in CASES for argument in case["args"]}
    assert {"-mask_cls_sep", "-no_special_token", "-tuned_model_dir", "NONE", "CLS_POOLED"} <= asked
    assert {case["texts"] for case in CASES} == {"plain", "odd", "pairs", "tokenized"}
