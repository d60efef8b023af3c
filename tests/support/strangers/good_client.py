"""A good client as a process of its own: one text a call at a steady pace, each answer compared and timed.

    python -m strangers.good_client '{"port": 1, "port_out": 2, "http_port": 3, "over_http": false, "identity": "x"}'

It reads lines: a number is the timeout in seconds of each call from now on, and begins a round; any other line ends
it, and a line of JSON says what became of it (`Round`). What the answers should be it learns in quiet, at its start.
"""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from queue import SimpleQueue
from typing import Any

import numpy as np

from bert_serving.client import BertClient, BertServingError

PACE_S = 0.005
DISTINCT = 50
TOLERANCE = 1e-5
FIRST_TIMEOUT_S = 60.0
Ask = Callable[[str, float], Any]
"""Takes a text and the seconds that its answer may take; returns its vector."""


@dataclass(slots=True)
class Round:
    """What became of the calls between two lines: how long each took, and what failed."""

    seconds: list[float] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    wrong: int = 0

    def percentile_ms(self, percent: float) -> float:
        return float(np.percentile(self.seconds, percent)) * 1000 if self.seconds else float("inf")


class GoodClient:
    """That process, as the one who started it sees it."""

    def __init__(self, **ports: Any) -> None:
        command = [sys.executable, "-m", "strangers.good_client", json.dumps(ports)]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=same_imports()
        )
        assert self._read() == "ready", "a good client could not even begin"

    def begin(self, timeout_s: float) -> None:
        """A round in which each call may take so long."""
        self._write(str(timeout_s))

    def end(self) -> Round:
        self._write("end")
        return Round(**json.loads(self._read()))

    def close(self) -> None:
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):
            self._process.stdin.close()
        self._process.wait(FIRST_TIMEOUT_S)
        assert self._process.stdout is not None
        self._process.stdout.close()

    def _write(self, line: str) -> None:
        assert self._process.stdin is not None
        print(line, file=self._process.stdin, flush=True)

    def _read(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()


def same_imports() -> dict[str, str]:
    """The environment of a Python that imports what this one does."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}


def over_zeromq(ports: dict[str, Any]) -> Ask:
    client = BertClient(port=ports["port"], port_out=ports["port_out"], identity=ports["identity"])

    def ask(text: str, timeout_s: float) -> Any:
        client.timeout = int(timeout_s * 1000)
        return client.encode([text])[0].tolist()

    return ask


def over_http(ports: dict[str, Any]) -> Ask:
    connections: list[http.client.HTTPConnection] = []

    def ask(text: str, timeout_s: float) -> Any:
        if not connections:
            connections.append(http.client.HTTPConnection("127.0.0.1", ports["http_port"]))
        connection = connections[0]
        connection.timeout = timeout_s
        if connection.sock is not None:
            connection.sock.settimeout(timeout_s)
        try:
            connection.request("POST", "/encode", json.dumps({"texts": [text]}), {"Content-Type": "application/json"})
            answer = connection.getresponse()
            content = answer.read()
        except (OSError, http.client.HTTPException):
            connections.pop().close()
            raise
        if answer.status != 200:
            raise OSError(f"{answer.status}: {content[:200]!r}")
        return json.loads(content)["results"][0]

    return ask


def ask_until_told(ask: Ask, right: dict[str, Any], lines: SimpleQueue[str], timeout_s: float) -> Round:
    """One round."""
    current, number, due_s = Round(), 0, time.monotonic()
    while lines.empty():
        number += 1
        text = f"good {number % DISTINCT}"
        begin_s = time.monotonic()
        try:
            rows = ask(text, timeout_s)
            current.wrong += not (
                np.shape(rows) == np.shape(right[text]) and np.allclose(rows, right[text], atol=TOLERANCE)
            )
        except (BertServingError, OSError, http.client.HTTPException) as error:
            current.failures.append(f"{type(error).__name__}: {error}"[:200])
        current.seconds.append(time.monotonic() - begin_s)
        due_s = max(due_s + PACE_S, time.monotonic())
        time.sleep(max(0.0, due_s - time.monotonic()))
    return current


def main() -> None:
    ports = json.loads(sys.argv[1])
    ask = (over_http if ports["over_http"] else over_zeromq)(ports)
    right = {text: ask(text, FIRST_TIMEOUT_S) for text in (f"good {number}" for number in range(DISTINCT))}
    lines: SimpleQueue[str] = SimpleQueue()

    def read() -> None:
        for line in sys.stdin:
            lines.put(line)
        lines.put("")

    threading.Thread(target=read, daemon=True).start()
    print("ready", flush=True)
    while line := lines.get():
        with suppress(ValueError):
            current = ask_until_told(ask, right, lines, float(line))
            if not lines.get():
                return
            print(json.dumps(asdict(current)), flush=True)


if __name__ == "__main__":
    main()
