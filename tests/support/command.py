"""`bert-serving-start` as a person runs it: a process with a log, on free ports of this machine."""

from __future__ import annotations

import subprocess
import sys
from types import TracebackType
from typing import Any

from ports import free_ports

START = [sys.executable, "-m", "bert_serving.server.cli.start"]
READY = "all set, ready to serve request!"


class Command:
    """A started server; leaving the block stops it by its process id. `log` holds what was read of its log."""

    def __init__(self, *arguments: str, env: dict[str, str] | None = None) -> None:
        self.port, self.port_out, self.http_port = free_ports(3)
        ports = ["-port", str(self.port), "-port_out", str(self.port_out)]
        if "-http_port" in arguments:  # whatever it was
            ports += ["-http_port", str(self.http_port), "-http_host", "127.0.0.1"]
        self.log = ""
        self._process = subprocess.Popen(
            [*START, *arguments, *ports], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=env
        )

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def ports(self) -> dict[str, Any]:
        """What tells a client of it."""
        return {"port": self.port, "port_out": self.port_out}

    def wait_until_ready(self) -> Command:
        """AssertionError with the log if it ends instead."""
        assert self._process.stderr is not None
        while READY not in self.log:
            line = self._process.stderr.readline()
            assert line, f"it ended with {self._process.wait()}: {self.log}"
            self.log += line
        return self

    def wait_for_end(self, timeout_s: float = 120) -> int:
        """Its exit status."""
        _, rest = self._process.communicate(timeout=timeout_s)
        self.log += rest
        return self._process.returncode

    @property
    def last_line(self) -> str:
        return self.log.splitlines()[-1]

    def __enter__(self) -> Command:
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
