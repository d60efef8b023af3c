"""Real servers for the blocks of README.md: `bert-serving-start` as a process of its own, with a small model."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import readme

READY = "all set, ready to serve request!"


class Server:
    """A running `bert-serving-start`; its log goes to a file."""

    def __init__(self, command: list[str], port: int, port_out: int, log: Path) -> None:
        self.port, self.port_out = port, port_out
        self._log = log
        with log.open("w") as output:
            self._process = subprocess.Popen(command, stdout=output, stderr=output)

    def wait_until_ready(self, timeout_s: float = 120) -> None:
        deadline_s = time.monotonic() + timeout_s
        while READY not in self.log:
            assert self._process.poll() is None, f"the server ended:\n{self.log}"
            assert time.monotonic() < deadline_s, f"the server is not ready:\n{self.log}"
            time.sleep(0.05)

    @property
    def log(self) -> str:
        return self._log.read_text("utf-8")

    def stop(self) -> int:
        """End it if nothing else did; its exit status."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
        return self.wait()

    def wait(self) -> int:
        try:
            return self._process.wait(30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            raise


def command(name: str) -> list[str]:
    """How to run one of our commands: the script if it is installed beside this Python, else its module."""
    script = Path(sysconfig.get_path("scripts"), name)
    module = f"bert_serving.server.cli.{name.removeprefix('bert-serving-')}"
    return [str(script)] if script.is_file() else [sys.executable, "-m", module]


def free_ports() -> tuple[int, int]:
    """Two ports that nobody listens on."""
    with ExitStack() as opened:
        first, second = (opened.enter_context(socket.create_server(("", 0))) for _ in range(2))
        return first.getsockname()[1], second.getsockname()[1]


StartServer = Callable[[list[str]], Server]


@pytest.fixture
def start_server(tmp_path: Path) -> Iterator[StartServer]:
    """Starts a server with options of the page, on free ports; it is stopped after the test."""
    with ExitStack() as running:
        yield lambda options: _start(options, tmp_path / "server.log", running)


@pytest.fixture(scope="session")
def server_with(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Server]]:
    """A ready server with the given options, one for all the tests that ask for the same; the last two stay up."""
    servers: dict[str, tuple[Server, ExitStack]] = {}

    def get(options: str) -> Server:
        if options not in servers:
            while len(servers) > 1:
                servers.pop(next(iter(servers)))[1].close()
            model = [] if "-model_dir" in options else ["-model_dir", "/models/uncased_L-12_H-768_A-12"]
            running = ExitStack()
            log = tmp_path_factory.mktemp("server") / "log"
            servers[options] = _start([*options.split(), *model, "-cpu"], log, running), running
            servers[options][0].wait_until_ready()
        return servers[options][0]

    yield get
    for _, running in servers.values():
        running.close()


def _start(options: list[str], log: Path, running: ExitStack) -> Server:
    port, port_out = free_ports()
    real = [readme.with_real(option, port, port_out) for option in options]
    ports = ["-port", str(port), "-port_out", str(port_out)]
    server = Server([*command("bert-serving-start"), *real, *ports], port, port_out, log)
    running.callback(server.stop)
    return server


@pytest.fixture(autouse=True)
def in_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing may depend on the folder that one stands in."""
    monkeypatch.chdir(tmp_path)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
