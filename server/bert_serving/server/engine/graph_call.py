"""Runs the same tensors of a session again and again, and says whose threads do it.

`Session.run` and what `Session.make_callable` returns look through feeds and fetches in Python each time, which takes
longer than a short sentence's first layer. What lies below them is private to TensorFlow; where it has changed, the
public way is taken.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from importlib import import_module
from typing import Any

from bert_serving.server.engine.tensors import Tensor, load_tensorflow

HERE, SHARED = -1, 0
"""Which threads: the one that calls, or the session's own, see `session.session_options`. The kernels of a graph, and
what these keep, are the same for both."""

Arrays = Callable[..., list[Any]]
"""Takes an array for each feed; returns one for each fetch."""


def graph_call(session: Any, feeds: Sequence[Tensor], fetches: Sequence[Tensor], threads: int | None = None) -> Arrays:
    """`threads`: HERE or SHARED for a session that has both, None for another one."""
    options = None if threads is None else load_tensorflow().compat.v1.RunOptions(inter_op_thread_pool=threads)
    try:
        return _private(session, feeds, fetches, options)
    except (AttributeError, ImportError):
        slow = session.make_callable(list(fetches), feed_list=list(feeds))
        return lambda *arrays: list(slow(*arrays, options=options))


def _private(session: Any, feeds: Sequence[Tensor], fetches: Sequence[Tensor], options: Any) -> Arrays:
    run, written = session._call_tf_sessionrun, None if options is None else _buffer(options.SerializeToString())
    inputs, outputs = [one._as_tf_output() for one in feeds], [one._as_tf_output() for one in fetches]
    session._extend_graph()
    return lambda *arrays: list(run(written, dict(zip(inputs, arrays, strict=True)), outputs, [], None))


@lru_cache
def _buffer(content: bytes) -> Any:
    """For TensorFlow to read; as long as the process lives."""
    return import_module("tensorflow.python.client.pywrap_tf_session").TF_NewBufferFromString(content)
