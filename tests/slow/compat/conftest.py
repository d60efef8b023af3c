"""A server of 1.10 as published, in an environment of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from folders import TINY
from ports import free_ports

HERE = Path(__file__).resolve().parent
READY = "all set, ready to serve request!"
START_TIMEOUT_S = 180


@dataclass(frozen=True)
class LegacyServer:
    port: int
    port_out: int


@pytest.fixture(scope="session")
def legacy_server(legacy_python: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LegacyServer]:
    """A running server of 1.10 with the tiny model, which sends tokens."""
    port, port_out = free_ports(2)
    folder = tmp_path_factory.mktemp("legacy")
    command: list[str | Path] = [
        legacy_python,
        HERE / "legacy_tensorflow.py",
        "-cpu",
        "-num_worker=1",
        "-show_tokens_to_client",
    ]
    command += [f"-model_dir={TINY}", f"-port={port}", f"-port_out={port_out}", f"-graph_tmp_dir={folder}"]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    log_path = folder / "log.txt"
    with log_path.open("w") as log:
        server = subprocess.Popen(command, stdout=log, stderr=log, env=environment, cwd=folder, start_new_session=True)
    try:
        _wait_until_ready(server, log_path)
        yield LegacyServer(port, port_out)
    finally:
        os.killpg(server.pid, signal.SIGKILL)  # 1.10 leaves children behind when it ends in another way
        server.wait()


def _wait_until_ready(server: subprocess.Popen[bytes], log_path: Path) -> None:
    deadline_s = time.monotonic() + START_TIMEOUT_S
    while READY not in log_path.read_text():
        if server.poll() is not None or time.monotonic() > deadline_s:
            raise RuntimeError(f"the server of 1.10 did not start:\n{log_path.read_text()[-4000:]}")
        time.sleep(0.1)
