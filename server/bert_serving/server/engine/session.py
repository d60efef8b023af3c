"""Loads a graph from its file and runs it; one session, used by all lanes at once."""

from __future__ import annotations

import ctypes
import logging
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

from bert_serving.server.config import ServerConfig
from bert_serving.server.engine.contract import FloatArray
from bert_serving.server.engine.features import MicroBatch
from bert_serving.server.engine.tensors import first_line, load_tensorflow
from bert_serving.server.errors import StartError

log = logging.getLogger(__name__)


INPUTS = ("ids", "type_ids", "mask")
OUTPUT = "vectors"
"""Names of the tensors by which a session feeds and fetches."""


class GraphSession:
    """A `tf.Graph`, ready to run. `run` may be called from several threads at once."""

    def __init__(self, graph: Any, config: ServerConfig) -> None:
        """StartError if the device does not take it."""
        tf = load_tensorflow()
        self.on_gpu = not config.cpu and _sees_gpu(config)
        try:
            self._session = tf.compat.v1.Session(graph=graph, config=_options(config, cpu=not self.on_gpu))
            inputs = [graph.get_tensor_by_name(f"{name}:0") for name in INPUTS]
            output = graph.get_tensor_by_name(f"{OUTPUT}:0")
            # a callable checks its feeds once, not in every run
            self._run = self._session.make_callable(output, feed_list=inputs)
        except Exception as error:  # TensorFlow raises whatever its C++ status says
            raise StartError(f"TensorFlow does not take the graph: {first_line(error)}") from error

    def run(self, batch: MicroBatch) -> FloatArray:
        """The graph's output for one micro-batch."""
        return cast(FloatArray, self._run(batch.ids, batch.type_ids, batch.mask))

    def close(self) -> None:
        """Give back memory and devices."""
        self._session.close()


def give_back_memory() -> None:
    """Return to the system what the C library keeps of the copies that loading made: a fifth of it, with MiniLM."""
    with suppress(OSError, AttributeError):  # another C library than glibc
        ctypes.CDLL(None).malloc_trim(0)


def load_graph(path: Path) -> Any:
    """The `tf.Graph` in a file; StartError if it is none."""
    tf = load_tensorflow()
    graph = tf.Graph()
    definition = tf.compat.v1.GraphDef()
    try:
        definition.ParseFromString(path.read_bytes())
        with graph.as_default():
            tf.import_graph_def(definition, name="")
        graph.get_tensor_by_name(f"{OUTPUT}:0")
    except OSError as error:
        raise StartError(f"the graph {path} cannot be read: {error.strerror}") from error
    except Exception as error:  # protobuf's DecodeError, whose home differs between its versions, and TensorFlow's
        raise StartError(f"{path} is not a graph: {first_line(error)}") from error
    return graph


def _sees_gpu(config: ServerConfig) -> bool:
    """Whether this process has a GPU; without one, StartError if `-device_map` asked for it."""
    if load_tensorflow().config.list_physical_devices("GPU"):
        return True
    advice = "install './server[gpu]' and check its CUDA libraries and the driver, or start with -cpu"
    if config.device_map:
        raise StartError(f"TensorFlow sees no GPU, but -device_map asks for one: {advice}")
    log.warning("TensorFlow sees no GPU, so the CPU computes: %s", advice)
    return False


def _options(config: ServerConfig, *, cpu: bool) -> Any:
    tf = load_tensorflow()
    options = tf.compat.v1.ConfigProto(allow_soft_placement=True)
    if cpu:
        # several lanes of one thread each do more than one lane of several threads, and a lane computes in its own:
        # handing work to TensorFlow's threads cost 4% of a large batch
        options.intra_op_parallelism_threads = 1
        options.inter_op_parallelism_threads = -1
        options.device_count["GPU"] = 0
    else:
        options.gpu_options.per_process_gpu_memory_fraction = config.gpu_memory_fraction
        options.gpu_options.allow_growth = True
    if config.xla:
        options.graph_options.optimizer_options.global_jit_level = tf.compat.v1.OptimizerOptions.ON_1
    return options
