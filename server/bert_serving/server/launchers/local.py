"""Children on this machine: each a new Python process, spawned and never forked, that ends with its parent."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import suppress
from typing import Any

from bert_serving.server.config import ServerConfig
from bert_serving.server.launchers.child import BOOTSTRAP
from bert_serving.server.transport.orders import Orders


class LocalProcess:
    """See `base.Process`."""

    def __init__(self, orders: Orders, config: ServerConfig) -> None:
        self._popen = subprocess.Popen(
            [sys.executable, "-I", "-c", BOOTSTRAP],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, **orders.environment},
            pass_fds=orders.needs.descriptors,
        )
        self._unread = b""
        self._send(
            path=sys.path,  # so that the child imports what the parent does, under pytest and Jupyter too
            config=config.to_json(),
            orders=orders.to_json(),
        )
        os.set_blocking(self._stdout, False)

    def _send(self, **content: Any) -> None:
        assert self._popen.stdin is not None
        with suppress(BrokenPipeError):  # it has ended already; its exit status tells
            self._popen.stdin.write(json.dumps(content).encode() + b"\n")
            self._popen.stdin.flush()

    @property
    def _stdout(self) -> int:
        assert self._popen.stdout is not None
        return self._popen.stdout.fileno()

    @property
    def pid(self) -> int:
        return self._popen.pid

    @property
    def stage(self) -> str:
        return "starting"

    def fileno(self) -> int:
        return self._stdout

    def read_report(self) -> dict[str, Any]:
        try:
            while chunk := os.read(self._stdout, 65536):
                self._unread += chunk
        except BlockingIOError:
            pass
        *lines, self._unread = self._unread.split(b"\n")
        report: dict[str, Any] = {}
        for line in lines:
            with suppress(ValueError, TypeError):  # a library that writes to the descriptor itself
                report.update(json.loads(line))
        return report

    def exit_status(self) -> int | None:
        return self._popen.poll()

    def kill(self) -> None:
        self._popen.kill()

    def wait(self, timeout_s: float) -> bool:
        try:
            self._popen.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return False
        return True

    def close(self) -> None:
        for pipe in (self._popen.stdin, self._popen.stdout):
            if pipe is not None:
                with suppress(BrokenPipeError):  # what could not be flushed to a dead child is of no use to anybody
                    pipe.close()


class LocalLauncher:
    """See `base.Launcher`."""

    remote_host = None

    def __init__(self, config: ServerConfig) -> None:
        self._config = config

    def share(self, prepared: str) -> str:
        return prepared

    def close(self) -> None:
        pass

    def start(self, orders: Orders) -> LocalProcess:
        return LocalProcess(orders, self._config)
