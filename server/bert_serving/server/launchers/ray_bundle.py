"""What `prepare` wrote, for all processes of a Ray job: in its object store, from which each machine takes it once."""

from __future__ import annotations

import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np
import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

_SHARED = "bert-serving-bundle-"


@contextmanager
def shared_bundle(prepared: str) -> Iterator[str]:
    """Within the block, any process of this Ray job gets the file `prepared` by `fetch_bundle` of what this yields.

    An engine that prepares no file shares nothing.
    """
    if not Path(prepared).is_file():
        yield prepared
        return
    name = f"{_SHARED}{uuid.uuid4().hex}"
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    options = {"name": name, "num_cpus": 0, "max_restarts": -1, "max_task_retries": -1, "scheduling_strategy": here}
    content = np.memmap(prepared, np.uint8, "r")  # an array goes to the store and comes out of it without another copy
    keeper = ray.remote(**options)(_Keeper).remote([ray.put(np.asarray(content))])
    try:
        yield name
    finally:
        ray.kill(keeper)


def fetch_bundle(shared: str) -> str:
    """The path of what is shared, as a file of this machine, whose object store takes it once for all processes here.

    The file has no name and so is gone with this process. Each process has one of its own, so that workers on machines
    of a cluster do not share a model's weights in memory as those of one machine do.
    """
    if not shared.startswith(_SHARED):
        return shared
    (reference,) = ray.get(ray.get_actor(shared).reference.remote())
    file = tempfile.TemporaryFile()  # noqa: SIM115 - it stays open as long as this process
    _open_files.append(file)
    file.write(ray.get(reference).data)
    file.flush()
    return f"/proc/self/fd/{file.fileno()}"


class _Keeper:
    """Leads to an object in the store by the actor's name. It is on the machine that owns the object."""

    def __init__(self, references: list[Any]) -> None:
        self._references = references

    def reference(self) -> list[Any]:
        return self._references


_open_files: list[IO[bytes]] = []
