"""The comparison of `bert-serving-verify`: what is wrong is found and named, and what is only rounding is not."""

from __future__ import annotations

import subprocess
import sys
from math import inf, nan
from typing import Any

import numpy as np
import pytest

from bert_serving.server.cli.verify import get_verify_parser
from bert_serving.server.config import ServerConfig
from bert_serving.server.engine.architectures.base import HeadShape
from bert_serving.server.options import get_args_parser
from bert_serving.server.verify.comparison import Tolerance, advice, apart, compare, compare_all, table, verdict
from bert_serving.server.verify.pooling import EncodedText, answer, pool

FLOAT32 = Tolerance("float32", most_difference=1e-5)
HALF = Tolerance("bfloat16", least_cosine=0.999)
TEXTS = ["one", "two", "three"]
EXPECTED = list(np.random.default_rng(0).standard_normal((3, 8)))


def changed(place: int, value: Any) -> list[Any]:
    """EXPECTED as a server sends it, with something else in one place."""
    sent = [vector.astype(np.float32) for vector in EXPECTED]
    sent[place] = value
    return sent


def test_rounding_is_the_same() -> None:
    comparisons = compare_all(TEXTS, [vector.astype(np.float32) for vector in EXPECTED], EXPECTED)
    assert apart(comparisons, FLOAT32) == []
    assert all(0 < one.difference < 1e-6 for one in comparisons)
    assert all(one.cosine == pytest.approx(1) for one in comparisons)
    assert verdict(comparisons, FLOAT32).endswith("all 3 sentences are the same " + f"({FLOAT32})")


def test_a_wrong_vector_is_found_and_named() -> None:
    comparisons = compare_all(TEXTS, changed(1, EXPECTED[1] + 1e-4), EXPECTED)
    assert [one.text for one in apart(comparisons, FLOAT32)] == ["two"]
    assert [line for line in table(comparisons, FLOAT32).splitlines() if "NOT THE SAME" in line] == [
        "   1.0e-04  1.000000  'two'  <- NOT THE SAME"
    ]
    assert verdict(comparisons, FLOAT32).startswith("largest difference 1.0e-04: 1 of 3 sentences are NOT the same")
    assert apart(comparisons, HALF) == []


@pytest.mark.parametrize("strange", [nan, inf, -inf])
def test_a_number_that_is_none_is_found_and_named(strange: float) -> None:
    vector = EXPECTED[2].copy()
    vector[5] = strange
    comparisons = compare_all(TEXTS, changed(2, vector), EXPECTED)
    for tolerance in (FLOAT32, HALF):
        assert [one.text for one in apart(comparisons, tolerance)] == ["three"]
        assert "1 of the server's 8 numbers are not finite" in table(comparisons, tolerance)
    assert verdict(comparisons, HALF).startswith("largest difference inf: 1 of 3")
    assert "the reference's" in compare("x", EXPECTED[0], vector).problem


def test_another_shape_is_found_and_named() -> None:
    comparisons = compare_all(TEXTS, changed(0, EXPECTED[0][:4]), EXPECTED)
    assert [one.text for one in apart(comparisons, HALF)] == ["one"]
    assert "its shape is [4], but [8] is expected" in table(comparisons, HALF)


def test_the_advice_names_the_largest_number() -> None:
    assert "the largest of which is 97 here" in advice([compare("x", np.array([0.5, -97.0]), np.array([0.5, -97.0]))])


def test_vectors_in_another_order_are_found() -> None:
    found = [EXPECTED[1], EXPECTED[0], EXPECTED[2]]
    for tolerance in (FLOAT32, HALF):
        assert len(apart(compare_all(TEXTS, found, EXPECTED), tolerance)) == 2


def test_a_vector_too_few_is_an_error() -> None:
    with pytest.raises(ValueError, match="shorter"):
        compare_all(TEXTS, EXPECTED[:2], EXPECTED)


def test_of_token_vectors_the_worst_one_counts() -> None:
    tokens = np.stack([*EXPECTED, np.zeros(8)])
    assert compare("x", tokens, tokens).cosine == pytest.approx(1)
    turned = tokens.copy()
    turned[1] *= -1
    assert compare("x", turned, tokens).cosine == pytest.approx(-1)
    padding = tokens.copy()
    padding[3] = 0.001
    assert compare("x", padding, tokens).cosine == 0


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        ("", "float32: no difference above 1e-05"),
        ("-dtype float16", "float16: each cosine above 0.999"),
        ("-dtype bfloat16 -pooling_strategy NONE", "bfloat16: each cosine above 0.999"),
        ("-dtype auto", "auto: each cosine above 0.999"),
        ("-fp16", "float16: each cosine above 0.999"),
        (
            "-fp16 -pooling_strategy REGRESSION",
            "float16: no difference above 0.01",
        ),
    ],
)
def test_the_precision_decides_the_tolerance(words: str, shown: str) -> None:
    args = get_args_parser().parse_args(["-model_dir", "M", *words.split()])
    assert str(Tolerance.of(ServerConfig.from_mapping(vars(args)))) == shown


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("-pooling_strategy REDUCE_MEAN", [3, 4]),
        ("-pooling_strategy REDUCE_MAX", [5, 6]),
        ("-pooling_strategy REDUCE_MEAN_MAX", [3, 4, 5, 6]),
        ("-pooling_strategy CLS_TOKEN", [9, 9]),
        ("-pooling_strategy SEP_TOKEN -pooling_layer -1 -2", [0, 0, 8, 8]),
        ("-pooling_strategy NONE", [[0, 0], [1, 2], [5, 6], [0, 0]]),
        ("-pooling_strategy REDUCE_MEAN -normalize", [0.6, 0.8]),
        ("-pooling_strategy CLS_POOLED", [0, np.log(3)]),
        ("-pooling_strategy CLASSIFICATION", [0, np.log(3)]),
    ],
)
def test_pooling_of_numbers_that_one_can_check(words: str, expected: Any) -> None:
    config = ServerConfig.from_mapping(vars(get_args_parser().parse_args(["-model_dir", "M", *words.split()])))
    below = np.array([[9.0, 9], [1, 2], [5, 6], [8, 8]])
    encoded = EncodedText({-2: below, -1: below * 0}, np.array([False, True, True, False]), np.array([0, np.log(3)]))
    assert pool(config, encoded) == pytest.approx(np.array(expected))


@pytest.mark.parametrize(
    ("strategy", "head", "expected"),
    [
        ("LOGITS", HeadShape(), [0, np.log(3)]),
        ("CLASSIFICATION", HeadShape(), [0.25, 0.75]),
        ("CLASSIFICATION", HeadShape(is_multi_label=True), [0.5, 0.75]),
        ("REGRESSION", HeadShape(), [0.5, 0.75]),
        ("REGRESSION", HeadShape(score="identity"), [0, np.log(3)]),
    ],
    ids=str,
)
def test_what_a_head_answers(strategy: str, head: HeadShape, expected: list[float]) -> None:
    config = ServerConfig.from_mapping({"model_dir": "M", "pooling_strategy": strategy})
    assert answer(config, head, np.array([0, np.log(3)])) == pytest.approx(np.array(expected))


def test_the_command_takes_the_options_of_a_server() -> None:
    words = ["-model_dir", "M", "-num_worker", "2", "-port", "1", "-dtype", "auto"]
    of_start = vars(get_args_parser().parse_args(words))
    assert of_start.pop("dry_run") is False
    assert vars(get_verify_parser().parse_args(words)) == of_start
    assert "bert-serving-verify" in get_verify_parser().format_help()


def test_the_command_is_quick_to_import() -> None:
    program = (
        "import sys, bert_serving.server.cli.verify; "
        "sys.exit(str({'tensorflow', 'torch', 'transformers', 'matplotlib'} & set(sys.modules) or ''))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert done.stderr.strip() == ""
