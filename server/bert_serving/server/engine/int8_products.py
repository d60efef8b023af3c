"""A dense layer in int8 as an op of oneDNN, for CPUs with instructions for it.

The op is private to TensorFlow, so its numbers are tried out when the graph is built. Its primitives are kept by the
address of the scales, not by their values: so what tells two products apart stands in a range of the input that has no
other use, see `_mark`.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from bert_serving.server.engine.cpu import has_products
from bert_serving.server.engine.products import BIAS
from bert_serving.server.engine.quantization import LARGEST, Array, quantized
from bert_serving.server.engine.tensors import Tensor, first_line, load_tensorflow, tried
from bert_serving.server.errors import StartError

QUANTIZED_OP = "_QuantizedMatMul"
CURE = "take -dtype auto, or bfloat16 or float32"
NO_CPU = f"-dtype int8 needs a CPU with AVX512-VNNI, AVX-VNNI or AMX-INT8, and this one has none of them: {CURE}"
_TINY = 1e-30
_TOLERANCE = 1e-3


def rounded(x: Tensor, columns: Tensor) -> Tensor:
    """Inputs as qint8, each place by its fixed scale: `[N, in]` times `[in]`. What is too large is cut."""
    return _whole(x * columns)


def rounded_by_token(x: Tensor) -> tuple[Tensor, Tensor]:
    """The same, each token by its own largest number; and what to multiply results with, `[N, 1]`."""
    tf = load_tensorflow()
    highest, lowest = (reduce(x, axis=-1, keepdims=True) for reduce in (tf.reduce_max, tf.reduce_min))  # (N, 1) each
    largest = tf.maximum(tf.maximum(highest, -lowest), _TINY)  # (N, 1)
    return _whole(x * (LARGEST / largest)), largest / LARGEST


def _whole(x: Tensor) -> Tensor:
    tf = load_tensorflow()
    return tf.raw_ops.QuantizeV2(
        input=x, min_range=-float(LARGEST), max_range=float(LARGEST), T=tf.qint8,
        mode="SCALED", round_mode="HALF_TO_EVEN", narrow_range=True,
    ).output  # fmt: skip


def product(
    x: Tensor, kernel: Tensor, scales: Array, bias: Any, activation: Sequence[str] = (), dtype: Any = None
) -> Tensor:
    """`[N, in]` qint8 times a kernel `[in, out]` int8 that never changes, with its scales and a bias, `[out]` each;
    float32, or of `dtype`."""
    tf = load_tensorflow()
    value = tf.compat.v1.AttrValue
    dtype = dtype or tf.float32
    ranges = tf.constant(scales * np.float32(LARGEST))  # (out,)
    device = [x, tf.bitcast(kernel, tf.qint8), tf.constant(bias, tf.float32)]
    host = [tf.constant(_mark(scales), tf.float32), tf.constant(float(LARGEST)), ranges, ranges]
    names = [BIAS, *activation, "Dequantize"]

    def types(tensors: Sequence[Tensor]) -> Any:
        return value(list=value.ListValue(type=[tensor.dtype.as_datatype_enum for tensor in tensors]))

    attributes = {
        "Tdevice_inputs": types(device),
        "Thost_inputs": types(host),
        "Tdevice_outputs": value(list=value.ListValue(type=[dtype.as_datatype_enum])),
        "Thost_outputs": types([]),
        **{
            name: value(type=tensor.dtype.as_datatype_enum)
            for name, tensor in zip(("T1", "T2", "Tbias"), device, strict=True)
        },
        **{name: value(type=dtype.as_datatype_enum) for name in ("U", "Tout")},
        "fused_ops": value(list=value.ListValue(s=[name.encode() for name in names])),
        **{name: value(b=True) for name in ("is_weight_const", "is_bias_const")},
        **{name: value(s=b"SCALED") for name in ("input_quant_mode", "output_quant_mode")},
    }
    op = x.graph.create_op(QUANTIZED_OP, [*device, *host], [dtype], attrs=attributes, name="int8_product")
    op.outputs[0].set_shape([x.shape[0], kernel.shape[1]])
    return op.outputs[0]  # (N, out)


def _mark(scales: Array) -> float:
    """The low end of the input's range. The larger end counts, in size, so this one may be any number within."""
    return -LARGEST * zlib.crc32(scales.tobytes()) / 2**32


def require_int8() -> None:
    """Raise StartError unless this CPU and this TensorFlow multiply in int8, and rightly."""
    if not has_products("int8"):
        raise StartError(NO_CPU)
    try:
        error = _worst_error()
    except Exception as failure:  # an op that is missing or has changed fails in ways of TensorFlow's own
        raise StartError(f"this TensorFlow multiplies nothing in int8 ({first_line(failure)}): {CURE}") from failure
    if not error < _TOLERANCE:
        raise StartError(f"this TensorFlow's products in int8 are wrong by {error:.2g} of their size: {CURE}")


def _worst_error() -> float:
    """Of products of two kernels of one shape, which their scales alone tell apart, in shares of the largest number."""
    rng = np.random.default_rng(0)
    x, bias = (rng.standard_normal(size).astype(np.float32) for size in ((5, 64), 48))
    rows = np.rint(x * (LARGEST / np.abs(x).max(axis=1, keepdims=True)))
    expected: list[Any] = []

    def build(held: Tensor) -> list[Tensor]:
        found = []
        whole, _ = rounded_by_token(held)
        for size in (1, 3):
            weights = quantized(size * rng.standard_normal((64, 48)).astype(np.float32))
            kernel = load_tensorflow().constant(weights.kernel)
            exact = rows @ weights.kernel.astype(np.float32) * weights.scales + bias
            found += [product(whole, kernel, weights.scales, bias, names) for names in ((), ("Relu",))]
            expected.extend([exact, np.maximum(exact, 0)])
        return found

    arrays = tried(build, x)
    errors = [np.abs(one - right).max() / np.abs(right).max() for one, right in zip(arrays, expected, strict=True)]
    return float(max(errors))
