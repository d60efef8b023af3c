"""Loads a graph from its file and runs it; one session, used by all lanes at once."""

from __future__ import annotations

import ctypes
import logging
from collections.abc import Mapping
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any, cast

import numpy as np

from bert_serving.server.config import ServerConfig
from bert_serving.server.engine.contract import FloatArray
from bert_serving.server.engine.encoder import FEW, SHARES
from bert_serving.server.engine.graph_call import HERE, SHARED, graph_call
from bert_serving.server.engine.graph_file import read_graph_file
from bert_serving.server.engine.micro_batch import MicroBatch
from bert_serving.server.engine.tensors import first_line, load_tensorflow
from bert_serving.server.engine.variables import fill
from bert_serving.server.errors import StartError

log = logging.getLogger(__name__)


INPUTS = ("ids", "type_ids", "mask")
OUTPUT = "vectors"
DEPTH = "depth"
LAYER = "layer"
"""Names of the tensors by which a session feeds and fetches; of layers, with `_` and a number."""

_MALLOC = (-3, 32 << 20), (-1, 256 << 20)
"""M_MMAP_THRESHOLD, as high as all versions take it, and M_TRIM_THRESHOLD; see mallopt(3). What a batch needs at once
is below the first, and what a thread keeps below the second."""


class GraphSession:
    """A `tf.Graph`, ready to run. `run` may be called from several threads at once."""

    def __init__(self, graph: Any, config: ServerConfig, weights: Mapping[str, Any] | None = None) -> None:
        """`weights`: what `load_graph` found with the graph. StartError if the device does not take it."""
        tf = load_tensorflow()
        self.on_gpu = not config.cpu and _sees_gpu(config)
        try:
            self._session = tf.compat.v1.Session(graph=graph, config=session_options(config, cpu=not self.on_gpu))
            fill(self._session, weights or {})
            inputs = [graph.get_tensor_by_name(f"{name}:0") for name in INPUTS]
            output = graph.get_tensor_by_name(f"{OUTPUT}:0")
            here = None if self.on_gpu else HERE
            self._run = graph_call(self._session, inputs, [output], here)
            names = {operation.name for operation in graph.get_operations()}
            is_in_shares = not self.on_gpu and any(f"/{FEW}/" in name for name in names)
            self._run_shared = graph_call(self._session, inputs, [output], SHARED) if is_in_shares else self._run
            self.num_layers = next(number for number in count() if f"{LAYER}_{number}" not in names)
            self._takes_depth = DEPTH in names
            layers = [graph.get_tensor_by_name(f"{LAYER}_{number}:0") for number in range(self.num_layers)]
            depth = [graph.get_tensor_by_name(f"{DEPTH}:0")] if self._takes_depth else []
            self._run_layers = graph_call(self._session, [*inputs, *depth], layers, here)
        except Exception as error:  # TensorFlow raises whatever its C++ status says
            raise StartError(f"TensorFlow rejects the graph: {first_line(error)}") from error

    def run(self, batch: MicroBatch, *, shared: bool = False) -> FloatArray:
        """The graph's output for one micro-batch; with `shared` by several threads, as far as it is in shares."""
        run = self._run_shared if shared else self._run
        return cast(FloatArray, run(batch.ids, batch.type_ids, batch.mask)[0])

    def run_layers(self, batch: MicroBatch, depth: int) -> list[FloatArray]:
        """The lowest `depth` layers for one micro-batch, `[N, H]` each, in the number type of the products."""
        wanted = [np.int32(depth)] if self._takes_depth else []
        return cast(list[FloatArray], self._run_layers(batch.ids, batch.type_ids, batch.mask, *wanted)[:depth])

    def close(self) -> None:
        """Give back memory and devices."""
        self._session.close()


def give_back_memory() -> None:
    """Return to the system what the C library keeps of the copies that loading made: a fifth of it, with MiniLM."""
    with suppress(OSError, AttributeError):  # another C library than glibc
        ctypes.CDLL(None).malloc_trim(0)


def keep_memory() -> None:
    """Let the C library keep what a batch frees for the next one. By itself it gives large pieces back at once, and to
    get them again, filled with zeros, took a tenth of a batch's time on a CPU with AVX2."""
    with suppress(OSError, AttributeError):  # another C library than glibc
        library = ctypes.CDLL(None)
        for name, value in _MALLOC:
            library.mallopt(name, value)


def load_graph(path: Path) -> tuple[Any, Mapping[str, Any]]:
    """The `tf.Graph` in a file, and its weights, mapped; StartError if there is none."""
    tf = load_tensorflow()
    file = read_graph_file(path, lambda name: tf.as_dtype(name).as_numpy_dtype)
    graph = tf.Graph()
    definition = tf.compat.v1.GraphDef()
    try:
        definition.ParseFromString(file.graph)
        with graph.as_default():
            tf.import_graph_def(definition, name="")
        graph.get_tensor_by_name(f"{OUTPUT}:0")
    except Exception as error:  # protobuf's DecodeError, whose home differs between its versions, and TensorFlow's
        raise StartError(f"{path} is not a graph: {first_line(error)}") from error
    return graph, file.weights


def _sees_gpu(config: ServerConfig) -> bool:
    """Whether this process has a GPU; without one, StartError if `-device_map` asked for it."""
    if load_tensorflow().config.list_physical_devices("GPU"):
        return True
    advice = "install 'bert-serving-server[gpu]' and check its CUDA libraries and the driver, or start with -cpu"
    if config.device_map:
        raise StartError(f"TensorFlow sees no GPU, but -device_map asks for one: {advice}")
    log.warning("TensorFlow sees no GPU, so the CPU is used: %s", advice)
    return False


def session_options(config: ServerConfig, *, cpu: bool) -> Any:
    """The `ConfigProto` of a session that lanes share. On a CPU a run says whose threads it takes: see `graph_call`."""
    tf = load_tensorflow()
    options = tf.compat.v1.ConfigProto(allow_soft_placement=True)
    if cpu:
        # several lanes of one thread each do more than one lane of several threads, and a lane computes in its own:
        # handing work to TensorFlow's threads cost 4% of a large batch
        options.intra_op_parallelism_threads = 1
        options.inter_op_parallelism_threads = -1
        options.session_inter_op_thread_pool.add().num_threads = SHARES
        options.device_count["GPU"] = 0
    else:
        options.gpu_options.per_process_gpu_memory_fraction = config.gpu_memory_fraction
        options.gpu_options.allow_growth = True
    if config.xla:
        options.graph_options.optimizer_options.global_jit_level = tf.compat.v1.OptimizerOptions.ON_1
    return options
