"""The views that requests ask for, from a micro-batch's layers: a graph that grows by a few ops for each new view.

It has no weights but those on top of the layers, so it costs little; the layers come from the encoder's own graph.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import cast

from bert_serving.server.config import ServerConfig
from bert_serving.server.engine.bundle import Bundle
from bert_serving.server.engine.contract import FloatArray
from bert_serving.server.engine.graph import make_encoder
from bert_serving.server.engine.graph_call import HERE, graph_call
from bert_serving.server.engine.micro_batch import IntArray
from bert_serving.server.engine.pooling import EncoderOutput, pool
from bert_serving.server.engine.session import session_options
from bert_serving.server.engine.tensors import load_tensorflow
from bert_serving.server.wanted import PooledView

MOST_VIEWS = 64
"""That are kept ready. Strangers may ask for any number of them, so with one more all start over."""

_Run = Callable[..., FloatArray]


class ViewPools:
    """Makes views. `of` may be called from several threads at once."""

    def __init__(self, config: ServerConfig, bundle: Bundle, num_layers: int, *, on_gpu: bool) -> None:
        """For outputs of the lowest `num_layers` layers."""
        self._config = config
        self._bundle = bundle
        self._num_layers = num_layers
        self._on_gpu = on_gpu
        self._lock = threading.Lock()
        self._ready: dict[PooledView, _Run] = {}
        self._graph: _Graph | None = None

    def of(self, view: PooledView, layers: Sequence[FloatArray], mask: IntArray) -> FloatArray:
        """The vectors of one view: `[B, W]`, or with pooling NONE `[B, T, W]`.

        `layers` are what `GraphSession.run_layers` gives, as deep as the view needs, for a mask `[B, T]`.
        """
        return self._run_of(view)(mask, *layers[: view.depth(self._bundle.content.shape.layers)])

    def close(self) -> None:
        """Give back what the graph holds; nothing may run any more."""
        with self._lock:
            self._ready.clear()
            if self._graph is not None:
                self._graph.close()
                self._graph = None

    def _run_of(self, view: PooledView) -> _Run:
        with self._lock:
            run = self._ready.get(view)
            if run is None:
                if self._graph is None or len(self._ready) >= MOST_VIEWS:
                    self._ready.clear()  # what runs keeps its own graph until it ends
                    self._graph = _Graph(self._config, self._bundle, self._num_layers, on_gpu=self._on_gpu)
                run = self._ready[view] = self._graph.run_of(view)
            return run


class _Graph:
    """One graph with its session."""

    def __init__(self, config: ServerConfig, bundle: Bundle, num_layers: int, *, on_gpu: bool) -> None:
        tf = load_tensorflow()
        self._bundle, self._config = bundle, config
        shape = bundle.content.shape
        self._graph = tf.Graph()
        with self._graph.as_default():
            self._mask = tf.compat.v1.placeholder(tf.int32, [None, None])  # (B, T)
            self._encoder = make_encoder(config, shape, bundle.top, bundle.dtype)
            dtype = self._encoder.dtype
            self._layers = [tf.compat.v1.placeholder(dtype, [None, shape.hidden]) for _ in range(num_layers)]
            self._rows = self._encoder.unpacked(self._mask, self._layers)  # (B, T, H) each
        self._session = tf.compat.v1.Session(graph=self._graph, config=session_options(config, cpu=not on_gpu))
        self._threads = None if on_gpu else HERE

    def close(self) -> None:
        """End the session."""
        self._session.close()

    def run_of(self, view: PooledView) -> _Run:
        """What takes the mask and the layers up to the view's depth."""
        tf, depth = load_tensorflow(), view.depth(self._bundle.content.shape.layers)
        with self._graph.as_default():
            encoded = EncoderOutput.of(
                view, self._rows[:depth], self._mask, self._encoder, self._bundle.top, self._config.include_prompt
            )
            vectors = tf.cast(pool(view, encoded), tf.float16 if self._config.fp16 else tf.float32)
        run = graph_call(self._session, [self._mask, *self._layers[:depth]], [vectors], self._threads)
        return lambda *arrays: cast(FloatArray, run(*arrays)[0])
