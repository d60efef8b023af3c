"""A service to attack: a process of its own with two workers and HTTP, and what is known of its processes."""

from __future__ import annotations

import http.client
import json
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

import psutil
from folders import SUPPORT, TINY
from ports import free_ports
from zmtp import HERE

from bert_serving.client import BertClient
from strangers.attack import Attack, Target
from strangers.good_client import same_imports

START = SUPPORT / "run_fake_server.py"
READY = "all set, ready to serve request!"
START_S = 120.0
STOP_S = 30.0
KEPT_LINES = 1_000
LONGEST_IPC_PATH = 108
MODEL = {"model_dir": str(TINY), "engine": "bert_serving.server.engine.tensorflow_engine", "max_seq_len": 64}
VICTIM = "good-client"
MAIN = "main process"


class Service:
    """As `attack` wants it; leave the block to stop it. `log` has its last lines."""

    def __init__(self, attack: Attack) -> None:
        port, port_out, http_port = free_ports(3)
        self._most_descriptors = attack.most_descriptors
        self._folder = tempfile.TemporaryDirectory(prefix="attacked-", ignore_cleanup_errors=True)
        values = {"port": port, "port_out": port_out, "http_port": http_port, "host": HERE, "http_host": HERE}
        values |= {"num_worker": 2, **(MODEL if attack.needs_model else {}), **attack.options}
        self._process = subprocess.Popen(
            [sys.executable, str(START), json.dumps(values)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            env={**same_imports(), **self._socket_folder(attack.long_socket_folder)},
        )
        self.setting = attack.setting
        self.target = Target(port, port_out, http_port, VICTIM)
        self.log: deque[str] = deque(maxlen=KEPT_LINES)
        self._is_ready = threading.Event()
        self._reader = threading.Thread(target=self._read, daemon=True)

    def _socket_folder(self, is_long: bool) -> dict[str, str]:
        """The variable that puts inner sockets where a path is too long for ipc."""
        if not is_long:
            return {}
        folder = Path(self._folder.name, "x" * LONGEST_IPC_PATH)
        folder.mkdir()
        return {"ZEROMQ_SOCK_TMP_DIR": str(folder)}

    def __enter__(self) -> Service:
        if self._most_descriptors is not None:  # before it starts any child
            limit = (self._most_descriptors, self._most_descriptors)
            resource.prlimit(self._process.pid, resource.RLIMIT_NOFILE, limit)
        self._reader.start()
        try:
            assert self._is_ready.wait(START_S), f"it did not start: {list(self.log)[-5:]}"
            assert self.is_alive, f"it ended: {list(self.log)[-5:]}"
            self._wait_for_http()
            self.processes = self._look()
        except BaseException:
            self.close()
            raise
        inner = tuple(sorted(self._listening() - {self.target.port, self.target.port_out, self.target.http_port}))
        self.target = Target(self.target.port, self.target.port_out, self.target.http_port, VICTIM, inner)
        return self

    @property
    def is_alive(self) -> bool:
        return self._process.poll() is None

    @property
    def is_whole(self) -> bool:
        """Whether all processes are still those that were there at the start."""
        return self.is_alive and all(map(is_running, self.processes.values()))

    def _read(self) -> None:
        assert self._process.stderr is not None
        for line in self._process.stderr:
            self.log.append(line)
            if READY in line:
                self._is_ready.set()
        self._is_ready.set()

    def _wait_for_http(self) -> None:
        end_s = time.monotonic() + START_S
        while time.monotonic() < end_s:
            connection = http.client.HTTPConnection(HERE, self.target.http_port, timeout=5)
            with suppress(OSError):
                connection.request("GET", "/health/ready")
                answer = connection.getresponse()
                answer.read()
                if answer.status == 200:
                    connection.close()
                    return
            connection.close()
            time.sleep(0.05)
        raise AssertionError("HTTP did not become ready")

    def _look(self) -> dict[str, psutil.Process]:
        """Its processes by name."""
        with BertClient(port=self.target.port, port_out=self.target.port_out, timeout=10_000) as client:
            shown: list[dict[str, Any]] = client.server_status["processes"]
        children = {process["name"]: psutil.Process(process["pid"]) for process in shown if process["pid"]}
        return {MAIN: psutil.Process(self._process.pid), **children}

    def _listening(self) -> set[int]:
        """All TCP ports that its processes listen on."""
        found: set[int] = set()
        for process in self.processes.values():
            found |= {
                connection.laddr.port
                for connection in process.net_connections("tcp")
                if connection.status == psutil.CONN_LISTEN
            }
        return found

    def close(self) -> None:
        """End it by its own process id, in order if it still can."""
        children = psutil.Process(self._process.pid).children(recursive=True) if self.is_alive else []
        self._process.terminate()
        try:
            self._process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        for child in children:
            with suppress(psutil.NoSuchProcess):
                child.kill()
        self._reader.join(STOP_S)
        assert self._process.stderr is not None
        self._process.stderr.close()
        self._folder.cleanup()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def is_running(process: psutil.Process) -> bool:
    try:
        return bool(process.is_running()) and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def rss(process: psutil.Process) -> int:
    """Resident bytes; 0 if it is gone."""
    try:
        return int(process.memory_info().rss)
    except psutil.NoSuchProcess:
        return 0
