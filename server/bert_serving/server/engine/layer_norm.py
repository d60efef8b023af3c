"""LayerNorm as one op of oneDNN if this TensorFlow has it for the CPU, else made of small ops.

The op is private to TensorFlow, so it is tried out when the graph is built, and used only if its numbers are right.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import numpy as np

from bert_serving.server.engine.tensors import Tensor, load_tensorflow, tried

_logger = logging.getLogger(__name__)

LayerNorm = Callable[[Tensor, Any, Any, float], Tensor]
"""`(x [N, H], scale [H], offset [H], epsilon) -> [N, H]`, all float32."""

FUSED_OP = "_MklLayerNorm"
_TOLERANCE = 1e-5


def choose_layer_norm(*, cpu: bool) -> LayerNorm:
    """The fastest LayerNorm that works here."""
    return fused if cpu and _works(fused) else plain


def plain(x: Tensor, scale: Any, offset: Any, epsilon: float) -> Tensor:
    """LayerNorm out of public ops."""
    tf = load_tensorflow()
    mean, variance = tf.nn.moments(x, axes=[-1], keepdims=True)  # (N, 1) each
    return tf.nn.batch_normalization(x, mean, variance, tf.constant(offset), tf.constant(scale), epsilon)  # (N, H)


def fused(x: Tensor, scale: Any, offset: Any, epsilon: float) -> Tensor:
    """LayerNorm as one op. The CPU alone has it."""
    tf = load_tensorflow()
    value = tf.compat.v1.AttrValue
    attributes = {"T": value(type=x.dtype.as_datatype_enum), "epsilon": value(f=epsilon)}
    inputs = [x, tf.constant(scale), tf.constant(offset)]
    # the name must not begin with an underscore, as the default one would
    op = x.graph.create_op(FUSED_OP, inputs, [x.dtype], attrs=attributes, name="layer_norm")
    op.outputs[0].set_shape(x.shape)
    return op.outputs[0]  # (N, H)


def _works(layer_norm: LayerNorm) -> bool:
    rng = np.random.default_rng(0)
    x, scale, offset = (rng.standard_normal(size).astype(np.float32) for size in ((3, 40), 40, 40))
    expected = (x - x.mean(1, keepdims=True)) / np.sqrt(x.var(1, keepdims=True) + 1e-12) * scale + offset
    try:
        found = _run(layer_norm, x, scale, offset)
    except Exception as error:  # an op that is missing or has changed fails in ways of TensorFlow's own
        _logger.debug("no %s here, LayerNorm is built of small ops: %r", FUSED_OP, error)
        return False
    return bool(np.abs(found - expected).max() < _TOLERANCE)


def _run(layer_norm: LayerNorm, x: Any, scale: Any, offset: Any) -> Any:
    return tried(lambda held: layer_norm(held, scale, offset, 1e-12), x)
