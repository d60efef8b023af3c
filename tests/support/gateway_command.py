"""`bert-serving-gateway` as a process of its own, on a free port of this machine."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx
from command import Started
from ports import free_ports

from bert_serving.server import BertServer

GATEWAY = [sys.executable, "-m", "bert_serving.server.cli.gateway"]


class GatewayCommand(Started):
    """As a person runs it."""

    def __init__(self, *arguments: str, http_port: int | None = None, env: dict[str, str] | None = None) -> None:
        self.http_port = free_ports(1)[0] if http_port is None else http_port
        where = ["-http_port", str(self.http_port), "-http_host", "127.0.0.1"]
        super().__init__([*GATEWAY, *arguments, *where], (0, 0), env)

    def client(self) -> httpx.Client:
        """Of its HTTP, once it listens."""
        self.wait_for_line("listening on")
        return httpx.Client(base_url=f"http://127.0.0.1:{self.http_port}", timeout=60)

    def wait_for_line(self, text: str) -> str:
        """The next line of its log that holds this text. AssertionError with the log if it ends instead."""
        assert self._process.stderr is not None
        while line := self._process.stderr.readline():
            self.log += line
            if text in line:
                return line
        raise AssertionError(f"it ended with {self._process.wait()}: {self.log}")


def address(server: BertServer) -> str:
    """As -model and the file take it."""
    return f"127.0.0.1:{server.config.port}:{server.config.port_out}"


def write_models(path: Path, models: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
    """The file of -models, in one step: whoever reads it sees the old one or the new one."""
    lines = []
    for name, endpoints in models.items():
        lines.append(f'["{name}"]')
        for endpoint in endpoints:
            lines.append(f'[["{name}".endpoints]]')
            lines += [
                f"{key} = {value if isinstance(value, (int, float)) else _quoted(value)}"
                for key, value in endpoint.items()
            ]
    new = path.with_suffix(".new")
    new.write_text("\n".join(lines) + "\n", "utf-8")
    new.replace(path)


def _quoted(text: str) -> str:
    return f"'{text}'"
