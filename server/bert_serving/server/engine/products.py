"""A dense layer as one op of oneDNN that packs its weight only once, wherever that weight comes from.

TensorFlow fuses a product with what follows it by itself, but then packs the weight again in every run unless it is a
constant, and weights that are mapped from a file are not: a short sentence takes up to 1.6 times as long. So the
fused op is put into the graph here. It is private to TensorFlow: it is tried out when the graph is built, if this CPU
has products of that type at all.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from bert_serving.server.engine.cpu import has_products
from bert_serving.server.engine.tensors import Tensor, load_tensorflow, tried

_logger = logging.getLogger(__name__)

FusedProduct = Callable[[Tensor, Tensor, Sequence[Tensor], Sequence[str]], Tensor]
"""`(x [N, in], kernel [out, in], [bias [out], ..], names of what is fused) -> [N, out]`, all of one type.

The kernel is as PyTorch keeps it: some of its columns are then one piece of memory, see `encoder.SHARES`."""

FUSED_OP = "_MklNativeFusedMatMul"
BIAS, RESIDUAL = "BiasAdd", "Add"
ACTIVATIONS = {
    "gelu": "GeluExact", "gelu_python": "GeluExact",
    "gelu_new": "GeluApproximate", "gelu_fast": "GeluApproximate", "gelu_pytorch_tanh": "GeluApproximate",
    "relu": "Relu",
}  # fmt: skip
"""What may follow the bias, by the names of configs."""

_TOLERANCE = {"float32": 1e-5, "float16": 2e-2, "bfloat16": 2e-1}


def choose_product(dtype: Any, *, wanted: bool) -> FusedProduct | None:
    """The fused product, if it works here in that type."""
    return fused if wanted and has_products(dtype.name) and _works(dtype) else None


def fused(x: Tensor, kernel: Tensor, others: Sequence[Tensor], names: Sequence[str]) -> Tensor:
    """A product and what follows it, as one op. The kernel must never change: the first run's packing is kept."""
    value = load_tensorflow().compat.v1.AttrValue
    attributes = {
        "T": value(type=x.dtype.as_datatype_enum),
        "num_args": value(i=len(others)),
        "fused_ops": value(list=value.ListValue(s=[name.encode() for name in names])),
        "transpose_b": value(b=True),
        "is_filter_const": value(b=True),
        "_kernel": value(s=b"MklNameChangeOp"),  # what TensorFlow itself gives such a node
    }
    # the name must not begin with an underscore, as the default one would
    op = x.graph.create_op(FUSED_OP, [x, kernel, *others], [x.dtype], attrs=attributes, name="product")
    op.outputs[0].set_shape([x.shape[0], kernel.shape[0]])
    return op.outputs[0]  # (N, out)


def _works(dtype: Any) -> bool:
    rng = np.random.default_rng(0)
    x, kernel, bias, more = (rng.standard_normal(size).astype(np.float32) for size in ((5, 32), (32, 48), 48, (5, 48)))
    expected = x @ kernel + bias
    try:
        found = _run(dtype, x, kernel, bias, more)
    except Exception as error:  # an op that is missing or has changed fails in ways of TensorFlow's own
        _logger.debug("no %s here for %s, products are built of public ops: %r", FUSED_OP, dtype.name, error)
        return False
    return all(
        bool(np.abs(one.astype(np.float32) - right).max() < _TOLERANCE[dtype.name])
        for one, right in zip(found, (expected, expected + more, np.maximum(expected, 0)), strict=True)
    )


def _run(dtype: Any, x: Any, kernel: Any, bias: Any, more: Any) -> Any:
    def build(held: Tensor) -> list[Tensor]:
        right, added, residual = (load_tensorflow().constant(array, dtype) for array in (kernel.T, bias, more))
        return [
            fused(held, right, [added], [BIAS]),
            fused(held, right, [added, residual], [BIAS, RESIDUAL]),
            fused(held, right, [added], [BIAS, "Relu"]),
        ]

    return tried(build, x.astype(dtype.as_numpy_dtype))
