"""The server with the fake engine as a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

from folders import SUPPORT


def start_command(ports: list[int], **options: Any) -> subprocess.Popen[str]:
    values = json.dumps({"port": ports[0], "port_out": ports[1], **options})
    command = [sys.executable, str(SUPPORT / "run_fake_server.py"), values]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def wait_until_ready(process: subprocess.Popen[str]) -> str:
    log = ""
    assert process.stderr is not None
    while "all set, ready to serve request!" not in log:
        line = process.stderr.readline()
        assert line, f"it ended: {log}"
        log += line
    return log
