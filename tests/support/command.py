"""Servers as processes of their own, on free ports of this machine, with a log."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import Any, TypeVar

from folders import SUPPORT
from ports import free_ports

START = [sys.executable, "-m", "bert_serving.server.cli.start"]
Same = TypeVar("Same", bound="Started")
READY = "all set, ready to serve request!"


class Started:
    """A started server; leaving the block stops it by its process id. `log` holds what was read of its log."""

    def __init__(self, command: Sequence[str], ports: Sequence[int], env: dict[str, str] | None = None) -> None:
        self.port, self.port_out = ports
        self.log = ""
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=env)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def ports(self) -> dict[str, Any]:
        """What tells a client of it."""
        return {"port": self.port, "port_out": self.port_out}

    @property
    def last_line(self) -> str:
        return self.log.splitlines()[-1]

    def wait_until_ready(self: Same) -> Same:
        """AssertionError with the log if it ends instead."""
        assert self._process.stderr is not None
        while READY not in self.log:
            line = self._process.stderr.readline()
            assert line, f"it ended with {self._process.wait()}: {self.log}"
            self.log += line
        return self

    def stop(self, number: int = signal.SIGTERM) -> None:
        """Send it a signal, and do not wait."""
        self._process.send_signal(number)

    def wait_for_end(self, timeout_s: float | None = 120) -> int:
        """Its exit status."""
        _, rest = self._process.communicate(timeout=timeout_s)
        self.log += rest
        return self._process.returncode

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Reads its log while the block runs, for a full pipe would stop it. At the end of the block it is stopped."""
        reader = threading.Thread(target=self.wait_for_end, args=(None,))
        reader.start()
        try:
            yield
        finally:
            self.stop()
            reader.join()

    def __enter__(self: Same) -> Same:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self.wait_for_end(30)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.communicate()
        elif self._process.stderr is not None:
            self._process.stderr.close()


class Command(Started):
    """`bert-serving-start` as a person runs it."""

    def __init__(self, *arguments: str, env: dict[str, str] | None = None) -> None:
        port, port_out, self.http_port = free_ports(3)
        ports = ["-port", str(port), "-port_out", str(port_out)]
        if "-http_port" in arguments:  # whatever it was
            ports += ["-http_port", str(self.http_port), "-http_host", "127.0.0.1"]
        super().__init__([*START, *arguments, *ports], (port, port_out), env)


class FakeCommand(Started):
    """`bert-serving-start` with the fake engine, on these ports if they are given, started by the command `prefix`."""

    def __init__(self, ports: Sequence[int] = (), prefix: Sequence[str] = (), **options: Any) -> None:
        ports = ports or free_ports(2)
        values = json.dumps({"port": ports[0], "port_out": ports[1], **options})
        super().__init__([*prefix, sys.executable, str(SUPPORT / "run_fake_server.py"), values], ports)


def with_open_files(limit: int) -> list[str]:
    """A prefix: no process of the command may have more open files."""
    return ["sh", "-c", 'ulimit -n "$0"; exec "$@"', str(limit)]
