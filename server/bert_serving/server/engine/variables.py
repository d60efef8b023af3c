"""Weights of a graph as variables, which take arrays mapped from its file without a copy.

A constant would be copied some ten times on its way into TensorFlow. Weights smaller than a few pages stay constants.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from bert_serving.server.engine.tensors import Tensor, load_tensorflow

Place = Callable[[str, Any, Any], Tensor]
"""`(name, array, dtype) -> tensor` of that array, cast to the type of TensorFlow, in the current graph."""

_LEAST_BYTES = 1 << 14
_SCOPE = "weights"


def constant(name: str, array: Any, dtype: Any) -> Tensor:
    """A `Place`: within the graph."""
    return load_tensorflow().constant(array, dtype, name=name.rpartition("/")[2])


def as_variables(keep: Callable[[str, Any], None]) -> Place:
    """A `Place`: large ones go to `keep` by name, at once, and are a variable that `fill` fills."""

    def place(name: str, array: Any, dtype: Any) -> Tensor:
        tf = load_tensorflow()
        if array.size * dtype.size < _LEAST_BYTES:
            return constant(name, array, dtype)
        keep(name, np.asarray(array, dtype.as_numpy_dtype))
        with tf.compat.v1.get_default_graph().name_scope(f"{_SCOPE}/{name}/"):  # the end says that it is whole
            content = tf.raw_ops.Placeholder(dtype=dtype, shape=array.shape, name="content")
            variable = tf.raw_ops.VarHandleOp(dtype=dtype, shape=array.shape, shared_name=name, name="variable")
            tf.raw_ops.AssignVariableOp(resource=variable, value=content, name="fill")
            return tf.raw_ops.ReadVariableOp(resource=variable, dtype=dtype, name="read")

    return place


def fill(session: Any, weights: Mapping[str, np.ndarray[Any, Any]]) -> None:
    """Let the variables of the session's graph take these arrays, which they do not copy on a CPU."""
    if not weights:
        return
    graph = session.graph
    steps = [graph.get_operation_by_name(f"{_SCOPE}/{name}/fill") for name in weights]
    session.run(steps, {f"{_SCOPE}/{name}/content:0": array for name, array in weights.items()})
