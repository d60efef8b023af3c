"""Which device each worker gets, and how many cores: a pure choice, and the queries to the machine that it needs."""

from __future__ import annotations

import logging
import math
import os
import shutil
import sys
import types
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bert_serving.server.config import ServerConfig
from bert_serving.server.errors import ConfigError

log = logging.getLogger(__name__)

BUSY = 0.9
"""A GPU with more of its compute or memory in use is not taken unasked, as in 1.10."""

_CGROUP = Path("/sys/fs/cgroup")


@dataclass(frozen=True, slots=True)
class Gpu:
    """One GPU as nvidia-smi shows it; load and memory in use are fractions."""

    id: int
    load: float
    memory_used: float


def assign_devices(config: ServerConfig, gpus: Sequence[Gpu]) -> list[int | None]:
    """The GPU id of each worker that there may ever be, None for the CPU.

    An explicit `-device_map` is used as it is, over and over if there are more workers. Otherwise GPUs that are not
    busy, the one with the most free memory first; without any, the CPU. Raises ConfigError for a GPU that is not there.
    """
    if config.cpu:
        return [None] * config.most_workers
    if config.device_map:
        present = [gpu.id for gpu in gpus]
        for wanted in config.device_map:
            if wanted not in present:
                found = (
                    f"the GPUs here are {', '.join(map(str, present))}" if present else "nvidia-smi shows no GPU here"
                )
                raise ConfigError(f"-device_map names GPU {wanted}, but {found}; choose others or add -cpu")
        chosen: Sequence[int | None] = config.device_map
    else:
        free = sorted((gpu for gpu in gpus if max(gpu.load, gpu.memory_used) < BUSY), key=lambda gpu: gpu.memory_used)
        chosen = [gpu.id for gpu in free] or [None]
    return [chosen[worker % len(chosen)] for worker in range(config.most_workers)]


def visible_gpus() -> list[Gpu]:
    """The GPUs that nvidia-smi shows, none if it is not there."""
    if shutil.which("nvidia-smi") is None:
        return []
    try:
        found = _gputil().getGPUs()
    except (OSError, ValueError, IndexError) as error:  # GPUtil trusts whatever nvidia-smi prints
        log.warning("nvidia-smi did not list the GPUs: %s", error)
        return []
    return [Gpu(gpu.id, _known(gpu.load), _known(gpu.memoryUtil)) for gpu in found]


def available_cores() -> int:
    """Cores that this process may use: its affinity, and the quota of its container (cgroup v2)."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = (_CGROUP / "cpu.max").read_text().split()
        return max(1, min(cores, math.ceil(int(quota) / int(period))))
    except (OSError, ValueError):  # no cgroup v2, or no limit ("max")
        return cores


def available_bytes() -> int:
    """Memory that programs may still take on this machine, or in this container if that is less."""
    meminfo = dict(line.split(":") for line in Path("/proc/meminfo").read_text().splitlines())
    free = int(meminfo["MemAvailable"].split()[0]) << 10
    limit, used = _CGROUP / "memory.max", _CGROUP / "memory.current"
    if limit.is_file() and (most := limit.read_text().strip()) != "max":
        free = min(free, int(most) - int(used.read_text()))
    return free


def lanes_for(gpu: int | None, most_workers: int) -> int:
    """How many compute lanes a worker runs: its share of the cores, or one where a GPU computes."""
    return 1 if gpu is not None else max(1, available_cores() // most_workers)


def device_environment(gpu: int | None, verbose: bool) -> dict[str, str]:
    """What makes TensorFlow in a child see this GPU alone, numbered as nvidia-smi numbers them; None hides all.

    Its own log is quiet unless `verbose`: what matters comes as an exception.
    """
    return {
        "CUDA_DEVICE_ORDER": "PCI_BUS_ID",
        "CUDA_VISIBLE_DEVICES": "-1" if gpu is None else str(gpu),
        "TF_CPP_MIN_LOG_LEVEL": "0" if verbose else "2",
    }


def device_name(gpu: int | None) -> str:
    return "cpu" if gpu is None else f"gpu:{gpu}"


def _known(fraction: float) -> float:
    return 0.0 if math.isnan(fraction) else fraction  # a GPU that does not tell counts as free


def _gputil() -> Any:
    try:
        import GPUtil
    except ModuleNotFoundError as error:
        if not (error.name or "").startswith("distutils"):
            raise
        # GPUtil asks distutils, which left Python in 3.12, for one function
        spawn, package = types.ModuleType("distutils.spawn"), types.ModuleType("distutils")
        vars(spawn)["find_executable"] = shutil.which
        vars(package)["spawn"] = spawn
        sys.modules.update({"distutils": package, "distutils.spawn": spawn})
        try:
            import GPUtil
        finally:
            del sys.modules["distutils"], sys.modules["distutils.spawn"]
    return GPUtil
