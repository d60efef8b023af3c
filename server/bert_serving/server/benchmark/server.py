"""The server to measure: `bert-serving-start` as a process, so that it shares no interpreter with the load."""

from __future__ import annotations

import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import TracebackType

from bert_serving.client import ConnectFailed
from bert_serving.server.benchmark.plan import as_words
from bert_serving.server.benchmark.targets import TargetError, ZmqTarget
from bert_serving.server.config import ServerConfig
from bert_serving.server.service.throwaway import free_ports

_START = [sys.executable, "-m", "bert_serving.server.cli.start"]
_ATTEMPT_S = 1.0
_STOP_S = 20.0


class OwnServer:
    """A context manager: a `ZmqTarget` that is ready inside the block; after it the process is gone.

    `log` takes what the server logs. Raises TargetError if the server ends, or is not ready within `wait_s`.
    """

    def __init__(self, config: ServerConfig, log: Path, wait_s: float) -> None:
        self._config = config
        self._log = log
        self._wait_s = wait_s
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> ZmqTarget:
        with self._log.open("wb") as log:
            command = [*_START, *as_words(self._config)]
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            return self._wait_until_ready(self._process)
        except BaseException:
            self._stop()
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()

    def _wait_until_ready(self, process: subprocess.Popen[bytes]) -> ZmqTarget:
        deadline = time.monotonic() + self._wait_s
        target = ZmqTarget("localhost", self._config.port, self._config.port_out, _ATTEMPT_S)
        while process.poll() is None:
            if time.monotonic() > deadline:
                raise TargetError(
                    f"the server was not ready within -wait_till_ready {self._wait_s:g} s: raise it, or see {self._log}"
                )
            try:
                target.about()
            except ConnectFailed:
                continue
            return target
        raise TargetError(f"the server did not start: {_last_line(self._log)}")

    def _stop(self) -> None:
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def with_free_ports(config: ServerConfig) -> ServerConfig:
    """The config with ports that nobody uses, where none were asked for: a server in daily use may run here, too."""
    if config.given & {"port", "port_out"}:
        return config
    port, port_out = free_ports(2)
    return replace(config, port=port, port_out=port_out, given=config.given | {"port", "port_out"})


def _last_line(log: Path) -> str:
    lines = log.read_text("utf-8", errors="replace").splitlines()
    return lines[-1] if lines else "its log is empty"
