"""bert-as-service 1.10 as published, in an environment of its own.

BERT_LEGACY_VENV names one that is there; otherwise it is made once and kept in pytest's cache.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from ports import free_ports

HERE = Path(__file__).resolve().parent
TINY_BERT = HERE.parent / "golden" / "tiny_bert"
PACKAGES = (
    "tensorflow-cpu==2.15.1",
    "tensorflow-estimator==2.15.0",
    "numpy<2",
    "pyzmq",
    "GPUtil",
    "termcolor",
    "six",
    "setuptools<81",  # later ones have no pkg_resources
    "bert-serving-server==1.10.0",
    "bert-serving-client==1.10.0",
)
SUPPORTED = ((3, 9), (3, 10), (3, 11))
"""Versions of Python that TensorFlow 2.15 is made for."""

READY = "all set, ready to serve request!"
START_TIMEOUT_S = 180


@dataclass(frozen=True)
class LegacyServer:
    port: int
    port_out: int


@pytest.fixture(scope="session")
def legacy_python(request: pytest.FixtureRequest) -> Path:
    """The interpreter of an environment with server and client of 1.10."""
    given = os.environ.get("BERT_LEGACY_VENV")
    if given:
        return Path(given) / "bin" / "python"
    venv = Path(request.config.cache.mkdir("bert-serving-1.10")) / "venv"
    is_complete = venv / "complete"
    if not is_complete.exists():
        _install(_base_python(), venv)
        is_complete.touch()
    return venv / "bin" / "python"


@pytest.fixture(scope="session")
def legacy_server(legacy_python: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LegacyServer]:
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
    command += [f"-model_dir={TINY_BERT}", f"-port={port}", f"-port_out={port_out}", f"-graph_tmp_dir={folder}"]
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


def _base_python() -> str:
    candidates = [sys.executable, *(f"python{major}.{minor}" for major, minor in reversed(SUPPORTED))]
    candidates += sorted(map(str, Path.home().glob(".pyenv/versions/3.*/bin/python")), reverse=True)
    for candidate in filter(shutil.which, candidates):
        asked = subprocess.run(
            [candidate, "-c", "import sys; print(sys.version_info[:2])"], capture_output=True, text=True
        )
        if asked.stdout.strip() in map(str, SUPPORTED):
            return candidate
    pytest.skip("no Python 3.9, 3.10 or 3.11 here, which TensorFlow 2.15 needs; or set BERT_LEGACY_VENV")


def _install(python: str, venv: Path) -> None:
    subprocess.run([python, "-m", "venv", "--clear", venv], check=True)
    installed = subprocess.run(
        [venv / "bin" / "python", "-m", "pip", "install", "-q", "--disable-pip-version-check", *PACKAGES],
        capture_output=True,
        text=True,
    )
    if installed.returncode:
        pytest.skip(f"1.10 cannot be installed: {installed.stderr[-500:]}")


def _wait_until_ready(server: subprocess.Popen[bytes], log_path: Path) -> None:
    deadline_s = time.monotonic() + START_TIMEOUT_S
    while READY not in log_path.read_text():
        if server.poll() is not None or time.monotonic() > deadline_s:
            raise RuntimeError(f"the server of 1.10 did not start:\n{log_path.read_text()[-4000:]}")
        time.sleep(0.1)
