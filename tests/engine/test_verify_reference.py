"""The reference of `bert-serving-verify` by NumPy, without a server, against 1.10."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from folders import GOLDEN, TINY, TUNED

from bert_serving.server.config import ServerConfig
from bert_serving.server.engine import tensorflow_engine
from bert_serving.server.engine.model_folder import find_model
from bert_serving.server.options import get_args_parser
from bert_serving.server.verify.plain_encoder import ACTIVATIONS, PlainEncoder
from bert_serving.server.verify.reference import reference_vectors


def resolved(folder: Path, words: list[str]) -> ServerConfig:
    args = get_args_parser().parse_args(["-model_dir", str(folder), *words])
    return tensorflow_engine.resolve(ServerConfig.from_mapping(vars(args)))


def test_numpy_gives_the_vectors_of_1_10(golden: dict[str, Any]) -> None:
    plain = [case for case in golden["cases"] if not case["is_tokenized"]]
    assert len(plain) > 20
    with np.load(GOLDEN / "vectors.npz") as vectors:
        for case in plain:
            words = [word.replace("@TUNED", str(TUNED)) for word in case["args"]]
            config = resolved(TINY, words)
            found = reference_vectors(config, PlainEncoder(config, find_model(config)), golden["texts"][case["texts"]])
            np.testing.assert_allclose(np.stack(found), vectors[case["name"]], atol=1e-5, rtol=0, err_msg=str(case))


def test_activations_at_points_that_one_can_look_up() -> None:
    x = np.array([-1.0, 0.0, 1.0, 2.0])
    assert ACTIVATIONS["gelu"](x) == pytest.approx([-0.158655, 0, 0.841345, 1.954500], abs=1e-6)
    assert ACTIVATIONS["gelu_new"](x) == pytest.approx([-0.158808, 0, 0.841192, 1.954598], abs=1e-6)
    assert ACTIVATIONS["relu"](x).tolist() == [0, 0, 1, 2]
