"""The only place that imports TensorFlow: that takes seconds, so every module here asks for it when it needs it.

Tensors are `Any` to the type checker, because TensorFlow has no types; comments at the end of lines give their shapes.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import IO, Any

from bert_serving.server.errors import StartError

Tensor = Any

_GREETINGS = (
    b"I0000 ",
    b"WARNING: All log messages before absl::InitializeLog()",
    b"To enable the following instructions",
)
_MISSING = "TensorFlow is not installed: install 'bert-serving-server[cpu]' or 'bert-serving-server[gpu]'"


def require_tensorflow() -> None:
    """Raise StartError if there is no TensorFlow, without importing it."""
    if importlib.util.find_spec("tensorflow") is None:
        raise StartError(_MISSING)


def load_tensorflow() -> Any:
    """The module `tensorflow`; StartError if it is missing or does not load."""
    if "tensorflow" in sys.modules:
        return sys.modules["tensorflow"]
    try:
        with _greetings_left_out():
            return importlib.import_module("tensorflow")
    except ModuleNotFoundError as error:
        if error.name == "tensorflow":
            raise StartError(_MISSING) from None
        raise StartError(
            f"TensorFlow cannot be loaded because the module {error.name!r} is missing: reinstall it"
        ) from error
    except ImportError as error:
        raise StartError(f"TensorFlow cannot be loaded: {first_line(error)}") from error


def tried(build: Callable[[Tensor], Any], x: Any) -> Any:
    """What `build` makes of a placeholder, with the array `x` in it: in a graph of its own, by one thread of a CPU."""
    tf = load_tensorflow()
    graph = tf.Graph()
    with graph.as_default():
        held = tf.compat.v1.placeholder(tf.as_dtype(x.dtype), [None, *x.shape[1:]])
        results = build(held)
    options = tf.compat.v1.ConfigProto(device_count={"GPU": 0}, intra_op_parallelism_threads=1)
    with tf.compat.v1.Session(graph=graph, config=options) as session:
        return session.run(results, {held: x})


@contextmanager
def _greetings_left_out() -> Iterator[None]:
    """TensorFlow 2.21 greets on standard error at any TF_CPP_MIN_LOG_LEVEL; with a level set, all else is shown."""
    if os.environ.get("TF_CPP_MIN_LOG_LEVEL", "0") == "0":
        yield
        return
    with _held_back() as held, os.fdopen(os.dup(2), "wb") as stderr:
        os.dup2(held.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(stderr.fileno(), 2)
            held.seek(0)
            stderr.writelines(line for line in held if not line.startswith(_GREETINGS))


def _held_back() -> IO[bytes]:
    """A file for them, in memory where there is such a thing: there may be no folder for temporary files."""
    if hasattr(os, "memfd_create"):
        return os.fdopen(os.memfd_create("greetings"), "w+b")
    return tempfile.TemporaryFile()


def first_line(error: BaseException) -> str:
    """The first line of an error's text, or its kind if it has none: a library's errors can fill a page."""
    return next(iter(str(error).strip().splitlines()), "") or type(error).__name__
