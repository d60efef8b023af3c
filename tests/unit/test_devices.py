"""Device maps as the FAQ says, through GPUtil and a false nvidia-smi on the PATH."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from bert_serving.server import devices
from bert_serving.server.config import ServerConfig
from bert_serving.server.devices import Gpu, assign_devices
from bert_serving.server.errors import ConfigError

GPUS = [Gpu(0, 0.1, 0.5), Gpu(1, 0.0, 0.0), Gpu(2, 0.99, 0.1), Gpu(4, 0.0, 0.2)]


def config(**options: object) -> ServerConfig:
    return ServerConfig.from_mapping({"model_dir": "M", **options})


@pytest.mark.parametrize(
    ("num_worker", "device_map", "assigned"),
    [
        (4, (0, 1, 4), [0, 1, 4, 0]),  # the FAQ's example
        (2, (0, 1, 4), [0, 1]),  # fewer workers than devices: the first ones
        (2, (2,), [2, 2]),  # busy, but asked for
        (3, (), [1, 4, 0]),  # the one with the most free memory first, the busy one not at all
        (5, (), [1, 4, 0, 1, 4]),
    ],
)
def test_assignment(num_worker: int, device_map: tuple[int, ...], assigned: list[int]) -> None:
    assert assign_devices(config(num_worker=num_worker, device_map=device_map), GPUS) == assigned


def test_without_a_gpu_workers_run_on_the_cpu() -> None:
    assert assign_devices(config(num_worker=2), []) == [None, None]
    assert assign_devices(config(num_worker=1), [Gpu(0, 1.0, 1.0)]) == [None]


def test_device_map_is_ignored_on_the_cpu() -> None:
    assert assign_devices(config(cpu=True, device_map=(7,)), []) == [None]


@pytest.mark.parametrize(("gpus", "found"), [(GPUS, "the GPUs here are 0, 1, 2, 4"), ([], "nvidia-smi shows no GPU")])
def test_a_gpu_that_is_not_there_is_refused(gpus: list[Gpu], found: str) -> None:
    with pytest.raises(ConfigError, match=f"names GPU 3, but {found}"):
        assign_devices(config(device_map=(3,)), gpus)


def fake_nvidia_smi(folder: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    program = folder / "nvidia-smi"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")


def test_gpus_are_read_from_nvidia_smi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = [
        f"{number}, GPU-{number}, {load}, 1000, {used}, {1000 - used}, 550.1, Tesla, 1, Enabled, Disabled, 30"
        for number, load, used in [(0, 5, 100), (1, 95, 0), (4, 0, 0)]
    ]
    fake_nvidia_smi(tmp_path, monkeypatch, "\n".join(f"echo '{line}'" for line in lines))
    assert devices.visible_gpus() == [Gpu(0, 0.05, 0.1), Gpu(1, 0.95, 0.0), Gpu(4, 0.0, 0.0)]
    assert assign_devices(config(num_worker=4, device_map=(0, 1, 4)), devices.visible_gpus()) == [0, 1, 4, 0]


def test_a_broken_nvidia_smi_counts_as_no_gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_nvidia_smi(tmp_path, monkeypatch, "echo 'NVIDIA-SMI has failed because it could not communicate'")
    assert devices.visible_gpus() == []


def test_no_nvidia_smi_is_no_gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert devices.visible_gpus() == []


def test_cpu_workers_share_the_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "available_cores", lambda: 8)
    assert [devices.lanes_for(None, workers) for workers in (1, 2, 3, 8, 20)] == [8, 4, 2, 1, 1]
    assert devices.lanes_for(0, 1) == 1


def test_a_gpu_worker_sees_its_gpu_alone() -> None:
    assert devices.device_environment(4, verbose=False)["CUDA_VISIBLE_DEVICES"] == "4"
    assert devices.device_environment(None, verbose=False)["CUDA_VISIBLE_DEVICES"] == "-1"
