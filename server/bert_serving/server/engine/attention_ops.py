"""The products and the softmax of attention as ops of oneDNN, for CPUs on which TensorFlow takes its own by itself.

Those are built for any x86 CPU, so with AVX2 they take about twice as long in a batch. With AVX-512 nothing is changed:
there all batches run the same ops, on which equal bits depend. The ops are private to TensorFlow, so they are tried out
when the graph is built.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bert_serving.server.engine.cpu import cpu_flags
from bert_serving.server.engine.tensors import Tensor, load_tensorflow, tried

_logger = logging.getLogger(__name__)

PRODUCT_OP, SOFTMAX_OP = "_MklBatchMatMulV2", "_MklSoftmax"
_TOLERANCE = 1e-5


@dataclass(frozen=True)
class AttentionOps:
    """`product` takes `[.., n, k]` and `[.., k, m]`, or with True `[.., m, k]`; `softmax` goes over the last axis."""

    product: Callable[[Tensor, Tensor, bool], Tensor]
    softmax: Callable[[Tensor], Tensor]


def public_ops() -> AttentionOps:
    """Those that TensorFlow chooses."""
    tf = load_tensorflow()
    return AttentionOps(lambda x, y, transposed: tf.matmul(x, y, transpose_b=transposed), tf.nn.softmax)


def choose_attention_ops(dtype: Any, *, wanted: bool) -> AttentionOps:
    """The fastest for large batches that work here in that type."""
    is_float32 = dtype == load_tensorflow().float32
    is_faster = wanted and is_float32 and "avx512f" not in (flags := cpu_flags()) and "avx2" in flags
    return _ONEDNN if is_faster and _works() else public_ops()


def _product(x: Tensor, y: Tensor, transposed: bool) -> Tensor:
    value = load_tensorflow().compat.v1.AttrValue
    made = _made(PRODUCT_OP, [x, y], adj_x=value(b=False), adj_y=value(b=transposed))
    made.set_shape([*x.shape[:-1], y.shape[-2 if transposed else -1]])
    return made


def _softmax(x: Tensor) -> Tensor:
    made = _made(SOFTMAX_OP, [x])
    made.set_shape(x.shape)
    return made


_ONEDNN = AttentionOps(_product, _softmax)


def _made(kind: str, inputs: Sequence[Tensor], **more: Any) -> Tensor:
    value = load_tensorflow().compat.v1.AttrValue
    attributes = {
        "T": value(type=inputs[0].dtype.as_datatype_enum),
        "_kernel": value(s=b"MklNameChangeOp"),  # what TensorFlow itself gives such a node
        **more,
    }
    # the name must not begin with an underscore, as the default one would
    op = inputs[0].graph.create_op(kind, inputs, [inputs[0].dtype], attrs=attributes, name="attention")
    return op.outputs[0]


def _works() -> bool:
    rng = np.random.default_rng(0)
    x, y, z = (rng.standard_normal((2, 3, *size)).astype(np.float32) for size in ((5, 8), (7, 8), (7, 8)))
    shares = np.exp(x @ y.swapaxes(-1, -2))
    expected = (shares / shares.sum(-1, keepdims=True)) @ z
    constant = load_tensorflow().constant
    try:
        found = tried(lambda held: _product(_softmax(_product(held, constant(y), True)), constant(z), False), x)
    except Exception as error:  # an op that is missing or has changed fails in ways of TensorFlow's own
        _logger.debug("no %s or %s here, attention is built of public ops: %r", PRODUCT_OP, SOFTMAX_OP, error)
        return False
    return bool(np.abs(found - expected).max() < _TOLERANCE)
