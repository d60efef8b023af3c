"""Encodes records with actors on a Ray cluster: one run of Ray Data for all files of a job.

One task on this machine reads the files, record after record; a pool of actors encodes batches of them, and Ray Data
brings their blocks back in order. An actor that dies is restarted by Ray, and its batch goes to one that lives.
This process spools the blocks, so a job that ends early continues where its spool ends; the actors end with it. What is
wrong travels as data and not as an exception, so that it comes in order, too.
"""

from __future__ import annotations

import logging
import pickle
import select
import signal
import time
import warnings
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from itertools import count, islice
from typing import Any

import pyarrow
import ray
import ray.data
from ray.data.block import BlockMetadata
from ray.data.datasource import Datasource, ReadTask
from ray.exceptions import GetTimeoutError, RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from bert_serving.server.bulk import ray_actor
from bert_serving.server.bulk.encoding import Block, Rest, check_shape
from bert_serving.server.bulk.errors import BulkError
from bert_serving.server.bulk.records import Record
from bert_serving.server.config import ServerConfig
from bert_serving.server.devices import device_environment
from bert_serving.server.errors import StartError
from bert_serving.server.launchers.ray import RayLauncher, resources_of
from bert_serving.server.transport.orders import OptimizerNeeds, Orders, Role
from bert_serving.server.transport.temporary import graph_folder
from bert_serving.server.version import __version__

_KILLED_S = 10.0
_PROBE = -1
"""The number in the place of a file's with the first batch, which is there for the shape of a vector."""

Answer = tuple[int, Any, Any, "str | None"]


class RayEncoder:
    """See `encoding.Encoder`. Raises BulkError."""

    def __init__(self, config: ServerConfig, answers: Iterator[Answer]) -> None:
        status = config.as_status()
        self._answers = answers
        shape, self.model = next(answers)[2]
        self.shape: tuple[int, ...] = check_shape(shape, status)
        self._ahead: Answer | None = None

    def blocks(self, number: int) -> Iterator[Block]:
        while (answer := self._ahead or next(self._answers, None)) is not None:
            self._ahead = answer
            if answer[0] != number:
                return
            self._ahead = None
            yield answer[1]


@contextmanager
def ray_encoder(config: ServerConfig, rests: Sequence[Rest], batch_size: int) -> Iterator[RayEncoder]:
    """An encoder of these rests, ready for the first. `config` is what `resolve` of the engine gave.

    Raises StartError or BulkError, the latest after `-start_timeout`.
    """
    end_s = time.monotonic() + config.start_timeout
    with ExitStack() as opened:
        graphs = opened.enter_context(graph_folder(config.graph_tmp_dir))
        heeded = signal.getsignal(signal.SIGTERM)
        launcher = RayLauncher(replace(config, graph_tmp_dir=str(graphs)))
        opened.callback(launcher.close)
        signal.signal(signal.SIGTERM, heeded)  # Ray puts a handler of its own in its place
        shared = launcher.share(_prepared(launcher, config.verbose, end_s))
        rows = _rows(config, shared, rests, batch_size, end_s)
        opened.callback(rows.close)
        yield RayEncoder(config, _answers(rows))


def _prepared(launcher: RayLauncher, verbose: bool, end_s: float) -> str:
    """What the engine's `prepare` returns in a process of its own on this machine."""
    process = launcher.start(
        Orders(Role.OPTIMIZER, "graph optimizer", OptimizerNeeds(), device_environment(None, verbose))
    )
    report: dict[str, Any] = {}
    try:
        while process.exit_status() is None:
            if not select.select([process], [], [], max(0.0, end_s - time.monotonic()))[0]:
                raise StartError("the graph was not prepared within -start_timeout: raise it")
            report.update(process.read_report())
        report.update(process.read_report())
    finally:
        process.kill()
        process.wait(_KILLED_S)
        process.close()
    if "result" not in report:
        ending = f"the graph was not prepared: its process ended with exit status {process.exit_status()}"
        raise StartError(report.get("fatal", ending))
    return str(report["result"])


def _rows(
    config: ServerConfig, shared: str, rests: Sequence[Rest], batch_size: int, end_s: float
) -> Generator[dict[str, Any], None, None]:
    """Starts the actors; then yields a row for each batch, in order."""
    left_s = max(1, int(end_s - time.monotonic()))
    wanted = resources_of(config)
    _set_up(left_s, config.verbose)
    orders = {
        "version": __version__,
        "config": config.to_json(),
        "prepared": shared,
        "lanes": max(1, int(wanted.get("CPU", 1))),
        "environment": _environment(config),
        "load_timeout_s": left_s,
        "begun": ray.remote(num_cpus=0, scheduling_strategy=_here())(ray_actor.Begun).remote(),
    }
    inputs = ray.data.read_datasource(_Inputs(rests, batch_size), override_num_blocks=1, num_cpus=0)
    encoded = inputs.map_batches(
        ray_actor.BulkActor,
        batch_size=1,
        fn_constructor_args=(orders,),
        compute=ray.data.ActorPoolStrategy(min_size=config.min_worker or config.num_worker, max_size=config.num_worker),
        num_cpus=wanted.pop("CPU", 0),
        num_gpus=wanted.pop("GPU", 0),
        memory=wanted.pop("memory", None),
        resources=wanted,
    )
    try:
        yield from encoded.iter_rows()
    except GetTimeoutError:
        raise StartError(_no_room(config)) from None
    except RayError as error:
        raise BulkError(f"Ray gave up: {_last_line(error)}; continue with -resume") from None


def _set_up(start_timeout_s: int, verbose: bool) -> None:
    """How Ray Data is to run in this process."""
    ray.cloudpickle.register_pickle_by_value(ray_actor)
    context = ray.data.DataContext.get_current()
    context.execution_options.preserve_order = True
    context.target_max_block_size = 1  # bytes: else small rows travel together, all of them to one actor
    context.wait_for_min_actors_s = start_timeout_s
    context.execution_no_progress_timeout_s = -1  # while a large output is written nothing moves
    context.enable_progress_bars = False
    if not verbose:
        logging.getLogger("ray.data").setLevel(logging.CRITICAL)
        warnings.filterwarnings("ignore", "The minimum number of concurrent actors")  # a small job: no harm in that


def _here() -> NodeAffinitySchedulingStrategy:
    """On this machine."""
    return NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)


def _no_room(config: ServerConfig) -> str:
    def shown(resources: Mapping[str, float]) -> str:
        return ", ".join(f"{name}={number:g}" for name, number in resources.items()) or "nothing"

    wanted = resources_of(config)
    total = {name: number for name, number in ray.cluster_resources().items() if name in (*wanted, "CPU", "GPU")}
    return (
        f"Ray found no room for {config.min_worker or config.num_worker} worker(s) with {shown(wanted)} each within "
        f"{config.start_timeout} s (-start_timeout); the cluster has {shown(total)} in all: ask for less with "
        "-num_worker, -min_worker or -ray_resources, or add machines"
    )


def _environment(config: ServerConfig) -> dict[str, str]:
    """Which GPU an actor sees is for Ray to say."""
    environment = device_environment(None, config.verbose)
    return {name: value for name, value in environment.items() if config.cpu or not name.startswith("CUDA_")}


def _answers(rows: Iterator[dict[str, Any]]) -> Iterator[Answer]:
    for row in rows:
        answer: Answer = pickle.loads(row["answer"])
        if answer[3] is not None:
            raise BulkError(answer[3])
        yield answer


def _last_line(error: Exception) -> str:
    return ([line for line in str(error).splitlines() if line.strip()] or [type(error).__name__])[-1].strip()


class _Inputs(Datasource):  # type: ignore[misc]
    """The files, as one task on this machine that gives a row for each batch."""

    def __init__(self, rests: Sequence[Rest], batch_size: int) -> None:
        super().__init__()
        self._rests = list(rests)
        self._batch_size = batch_size

    @property
    def supports_distributed_reads(self) -> bool:
        return False

    def estimate_inmemory_data_size(self) -> int | None:
        return None

    def get_read_tasks(self, parallelism: int, *unused: Any, **unused_too: Any) -> list[ReadTask]:
        rests, batch_size = self._rests, self._batch_size

        def read() -> Iterator[Any]:
            for batch in _batches(rests, batch_size):
                yield pyarrow.table({"batch": pyarrow.array([pickle.dumps(batch)], pyarrow.large_binary())})

        return [ReadTask(read, BlockMetadata(num_rows=None, size_bytes=None, exec_stats=None, input_files=None))]


def _batches(rests: Sequence[Rest], batch_size: int) -> Iterator[tuple[int, int, list[Record], str | None]]:
    """A probe first. A file that cannot be read on ends all, when its turn comes."""
    yield _PROBE, 0, [Record(0, "hello")], None
    for number, rest in enumerate(rests):
        records = rest.read()
        try:
            for batch in count():
                if not (taken := list(islice(records, batch_size))):
                    break
                yield number, batch, taken, None
        except BulkError as error:
            yield number, -1, [], str(error)
        except OSError as error:
            yield number, -1, [], f"{rest.source.name}: {error.strerror or error}"
