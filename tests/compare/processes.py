"""Processes that the comparison starts and stops: contestants that speak `protocol`, and servers of either version.

Each is a session of its own and is ended by its process group, since 1.10 leaves children behind otherwise.
"""

from __future__ import annotations

import json
import os
import selectors
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

import psutil
from environments import Missing
from folders import TESTS
from ports import free_ports

from compare import sources as whose
from compare.protocol import CORE

LEGACY_START = TESTS / "slow" / "compat" / "legacy_tensorflow.py"
READY = "all set, ready to serve request!"
START_TIMEOUT_S = 300
STOP_TIMEOUT_S = 20
ANSWER_TIMEOUT_S = 1200

_CPUCLOCK_SCHED = 2
"""With this a process id makes a clock, as in clock_getcpuclockid(3): /proc counts in hundredths of a second only."""


def environment(sources: Path | None = None, **more: str) -> dict[str, str]:
    """The variables of every process: our modules are found; NumPy's own products keep to one core.

    With `sources` client and server come from that folder, which the process checks, see `sources.py`.
    """
    paths = os.pathsep.join([*(whose.paths(sources) if sources else ()), str(TESTS), str(TESTS / "support")])
    more |= {whose.VARIABLE: str(sources)} if sources else {}
    quiet = {"HF_HUB_OFFLINE": "1", "TF_CPP_MIN_LOG_LEVEL": "2", "PYTHONWARNINGS": "ignore"}
    return {**os.environ, **quiet, "PYTHONPATH": paths, "OPENBLAS_NUM_THREADS": "1", **more}


class Process:
    """One started process with its log in a file. Leaving the block stops it and all that it started."""

    def __init__(self, command: Sequence[str], env: Mapping[str, str], *, pipes: bool = False) -> None:
        self.log = Path(tempfile.mkstemp(prefix="compare-", suffix=".log")[1])
        pipe = subprocess.PIPE if pipes else None
        with self.log.open("w") as log:
            self.popen = subprocess.Popen(
                list(command),
                stdin=pipe or subprocess.DEVNULL,
                stdout=pipe or log,
                stderr=log,
                env=dict(env),
                start_new_session=True,
            )

    def end_of_log(self) -> str:
        """The last lines, to say why it failed."""
        return self.log.read_text(errors="replace")[-1500:]

    def wait_until(self, is_ready: Callable[[], bool], what: str) -> None:
        """Until it serves. Missing, and it is stopped, if it ended or took too long."""
        end_s = time.monotonic() + START_TIMEOUT_S
        try:
            while not is_ready():
                if self.popen.poll() is not None or time.monotonic() > end_s:
                    raise Missing(f"{what} did not start: {self.end_of_log()}")
                time.sleep(0.2)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End it, first politely."""
        for number, patience_s in ((signal.SIGTERM, STOP_TIMEOUT_S), (signal.SIGKILL, STOP_TIMEOUT_S)):
            try:
                os.killpg(self.popen.pid, number)
                self.popen.wait(patience_s)
            except ProcessLookupError:
                break
            except subprocess.TimeoutExpired:
                continue
        self.popen.poll()
        for pipe in (self.popen.stdin, self.popen.stdout):
            if pipe is not None:
                pipe.close()
        self.log.unlink(missing_ok=True)

    def __enter__(self) -> Any:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


class Contestant(Process):
    """A module of this folder that calls `protocol.serve`, in the environment of `python`."""

    def __init__(
        self, python: str | Path, module: str, *arguments: str, core: int | None = None, sources: Path | None = None
    ) -> None:
        pinned = {} if core is None else {CORE: str(core)}
        command = [str(python), "-m", f"compare.{module}", *arguments]
        super().__init__(command, environment(sources, **pinned), pipes=True)
        self.name = module

    def __enter__(self) -> Contestant:
        try:
            self.answer(START_TIMEOUT_S)  # that it is ready
        except BaseException:
            self.stop()
            raise
        return self

    def ask(self, do: str, **arguments: Any) -> dict[str, Any]:
        """Let it do something; Missing if it cannot."""
        self.send(do, **arguments)
        return self.answer()

    def send(self, do: str, **arguments: Any) -> None:
        """Ask without waiting, so that several work side by side; `answer` waits."""
        assert self.popen.stdin is not None
        try:
            self.popen.stdin.write(json.dumps({"do": do, **arguments}).encode() + b"\n")
            self.popen.stdin.flush()
        except BrokenPipeError:
            raise Missing(f"{self.name} ended: {self.end_of_log()}") from None

    def answer(self, timeout_s: float = ANSWER_TIMEOUT_S) -> dict[str, Any]:
        assert self.popen.stdout is not None
        with selectors.DefaultSelector() as selector:
            selector.register(self.popen.stdout, selectors.EVENT_READ)
            if not selector.select(timeout_s):
                raise Missing(f"{self.name} did not answer within {timeout_s:.0f} s: {self.end_of_log()}")
        line = self.popen.stdout.readline()
        answer: dict[str, Any] = json.loads(line) if line else {"error": f"it ended: {self.end_of_log()}"}
        if "error" in answer:
            raise Missing(f"{self.name}: {answer['error']}")
        return answer


class Server(Process):
    """A server on free ports of this machine. `start` is a command to which its ports are added.

    `sources` are as for `environment`, which `variables` are added to.
    """

    def __init__(self, start: Sequence[str], *options: str, sources: Path | None = None, **variables: str) -> None:
        self.port, self.port_out = free_ports(2)
        ports = ["-port", str(self.port), "-port_out", str(self.port_out)]
        super().__init__([*start, *options, *ports], environment(sources, **variables))

    def __enter__(self) -> Server:
        self.wait_until(lambda: READY in self.log.read_text(errors="replace"), "a server")
        return self

    def cpu_s(self, but: Collection[int] = ()) -> float:
        """CPU seconds of its process and all that came of it, so far; `but` are process ids to leave out."""
        main = psutil.Process(self.popen.pid)
        return sum(_cpu_s(process) for process in (main, *main.children(recursive=True)) if process.pid not in but)


def _cpu_s(process: psutil.Process) -> float:
    with suppress(OSError):  # it ended meanwhile
        return time.clock_gettime(~process.pid << 3 | _CPUCLOCK_SCHED)
    return 0.0


def our_start() -> list[str]:
    """`bert-serving-start` of this repository."""
    return [sys.executable, "-m", "bert_serving.server.cli.start"]


def legacy_start(python: Path) -> list[str]:
    """That of 1.10, in its environment."""
    return [str(python), str(LEGACY_START)]
