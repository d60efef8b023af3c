"""How fast the engine multiplies matrices, beside the bare products of the same shapes: matrix_products MODEL LAYERS

The model has BERT-base's width. Both sides run as a worker does: as many threads as there are cores, each calling a
session whose operations have one thread; each call is one micro-batch.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from bert_serving.server.engine.contract import Row
from bert_serving.server.engine.tensors import load_tensorflow
from compare.checkpoint import Size
from compare.own_engine import load_engine
from compare.protocol import pin, serve, timed

ROWS, TOKENS = 32, 128
_WORD = 2000
"""Some id of the vocabulary."""


def flops(size: Size, rows: int, tokens: int) -> int:
    """Floating-point operations in the matrix products of one micro-batch, pooling left out."""
    dense = size.hidden * (4 * size.hidden + 2 * size.intermediate)
    attention = 2 * tokens * size.hidden
    return 2 * size.layers * rows * tokens * (dense + attention)


def bare_products(size: Size, rows: int, tokens: int, lanes: int) -> Callable[[], object]:
    """Runs nothing but the products of one micro-batch, on constant weights and in the model's order."""
    tf = load_tensorflow()
    v1 = tf.compat.v1
    generator = np.random.default_rng(0)

    def weights(inputs: int, outputs: int) -> Any:
        return tf.constant(generator.standard_normal((inputs, outputs), np.float32) * np.float32(0.02))

    heads = (rows, size.heads, tokens)
    feeds = [
        generator.standard_normal(shape, np.float32)
        for shape in ((rows * tokens, size.hidden), (*heads, size.hidden // size.heads), (*heads, tokens))
    ]
    graph = tf.Graph()
    with graph.as_default():
        x, query, shares = inputs = [v1.placeholder(tf.float32, feed.shape) for feed in feeds]
        touched = []
        for _ in range(size.layers):
            qkv = x @ weights(size.hidden, 3 * size.hidden)
            # a number of each layer goes in, or the optimizer would find that the layers' products are the same one
            part = query + qkv[0, 0]
            scores, mixed = tf.matmul(part, part, transpose_b=True), tf.matmul(shares, part)
            attended = x @ weights(size.hidden, size.hidden)
            inner = attended @ weights(size.hidden, size.intermediate)
            x = inner @ weights(size.intermediate, size.hidden)
            touched += [qkv[0, 0], scores[0, 0, 0, 0], mixed[0, 0, 0, 0]]
        output = tf.add_n([*touched, x[0, 0]])
    options = v1.ConfigProto(intra_op_parallelism_threads=1, inter_op_parallelism_threads=lanes)
    run = v1.Session(graph=graph, config=options).make_callable(output, feed_list=inputs)
    return lambda: run(*feeds)


class Products:
    """Times both sides."""

    def __init__(self, folder: str, size: Size) -> None:
        self._lanes = pin()
        self._flops = flops(size, ROWS, TOKENS)
        engine = load_engine(folder, "float32", self._lanes)
        rows = [Row([_WORD] * TOKENS, TOKENS, ())] * ROWS
        self._sides = {
            "engine": lambda: engine.run(rows),
            "bare": bare_products(size, ROWS, TOKENS, self._lanes),
        }
        self._threads = ThreadPoolExecutor(self._lanes)

    def measure(self, side: str, calls: int) -> dict[str, Any]:
        """GFLOP a second over `calls` calls in each thread; one before them does not count."""
        run = self._sides[side]

        def all_threads(each: int) -> None:
            for done in [self._threads.submit(lambda: [run() for _ in range(each)]) for _ in range(self._lanes)]:
                done.result()

        all_threads(1)
        took_s = timed(lambda: all_threads(calls))
        return {"gflops": self._flops * calls * self._lanes / took_s / 1e9}


def main() -> None:
    folder, layers = sys.argv[1:]
    serve({"measure": Products(folder, Size(768, int(layers), 12, 3072)).measure})


if __name__ == "__main__":
    main()
