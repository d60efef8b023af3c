"""The bert-serving-start of 1.10, as published, on TensorFlow 2.15. Runs inside the legacy environment:

    python legacy_tensorflow.py -cpu -model_dir DIR ...

1.10 was written for TensorFlow 1. TensorFlow 2.15 still holds that interface in `compat.v1`; here its names go where
1.10 looks for them. 1.10 forks its workers, so they see the same.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
from types import SimpleNamespace
from typing import Any

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

MOVED = ("", ".estimator", ".model_fn", ".run_config")
"""Modules of tensorflow.python.estimator that became a package of their own."""


def bridge() -> None:
    tensorflow: Any = importlib.import_module("tensorflow")
    v1 = tensorflow.compat.v1
    v1.disable_v2_behavior()
    for name in filter(str.isidentifier, dir(v1)):
        if not name.startswith("_"):
            setattr(tensorflow, name, getattr(v1, name))
    jit = SimpleNamespace(experimental_jit_scope=contextlib.suppress)
    layers = SimpleNamespace(layer_norm=lambda **arguments: layer_norm(v1, **arguments))
    tensorflow.contrib = SimpleNamespace(layers=layers, compiler=SimpleNamespace(jit=jit))
    for name in MOVED:
        moved = importlib.import_module("tensorflow_estimator.python.estimator" + name)
        sys.modules["tensorflow.python.estimator" + name] = moved


def layer_norm(v1: Any, inputs: Any, begin_norm_axis: int, begin_params_axis: int, scope: str | None) -> Any:
    """`tf.contrib.layers.layer_norm` over the last axis, its variables under the same names."""
    with v1.variable_scope(scope, default_name="LayerNorm"):
        beta, gamma = (v1.get_variable(name, inputs.shape[-1:]) for name in ("beta", "gamma"))
    mean, variance = v1.nn.moments(inputs, axes=[-1], keepdims=True)
    return v1.nn.batch_normalization(inputs, mean, variance, offset=beta, scale=gamma, variance_epsilon=1e-12)


if __name__ == "__main__":
    bridge()
    importlib.import_module("bert_serving.server.cli").main()
