"""SIGHUP, by which a terminal that goes tells its whole group: it ends the commands as SIGTERM does."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import psutil
import pytest
from command import FakeCommand
from fake_engine import vector_of
from folders import SUPPORT
from ports import free_ports
from serving import wait_until

from bert_serving.client import BertClient


def hang_up(server: FakeCommand) -> None:
    """As kernel and shell do, one after the other; it is the leader of its group."""
    os.killpg(server.pid, signal.SIGHUP)
    os.killpg(server.pid, signal.SIGHUP)


def test_what_is_open_is_answered_and_nothing_is_left(socket_folder: Path) -> None:
    with FakeCommand(prefix=["setsid"], graph_tmp_dir=str(socket_folder)) as server:
        server.wait_until_ready()
        children = psutil.Process(server.pid).children(recursive=True)
        with BertClient(**server.ports) as client:
            client.encode(["!slow 1.0 a"], blocking=False)
            wait_until(lambda: client.server_status["queue"]["open_requests"] == 1)
            hang_up(server)
            (rows,) = client.fetch_all()
        np.testing.assert_array_equal(rows, [vector_of("!slow 1.0 a")])
        assert server.wait_for_end(60) == 0, server.log
        assert "stopping: SIGHUP was received" in server.log
        assert "was killed" not in server.log
    assert not any(child.is_running() for child in children)
    assert list(socket_folder.iterdir()) == []


def test_nohup_goes_on(socket_folder: Path) -> None:
    with FakeCommand(prefix=["setsid", "nohup"], graph_tmp_dir=str(socket_folder)) as server:
        server.wait_until_ready()
        hang_up(server)
        with BertClient(**server.ports) as client:
            np.testing.assert_array_equal(client.encode(["a"]), [vector_of("a")])
        server.stop()
        assert server.wait_for_end(60) == 0, server.log
        assert "stopping: SIGTERM" in server.log


BLOCKED = (
    "import os, signal, sys; signal.pthread_sigmask(signal.SIG_BLOCK, [15, 1]); os.execv(sys.argv[1], sys.argv[1:])"
)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_signals_that_were_blocked_end_it_too(number: signal.Signals, socket_folder: Path) -> None:
    with FakeCommand(prefix=[sys.executable, "-c", BLOCKED], graph_tmp_dir=str(socket_folder)) as server:
        server.wait_until_ready()
        os.kill(server.pid, number)
        assert server.wait_for_end(60) == 0, server.log
        assert f"stopping: {number.name}" in server.log


def test_a_terminal_that_goes(socket_folder: Path) -> None:
    """What is said after that can be written nowhere."""
    port, port_out = free_ports(2)
    options = json.dumps({"port": port, "port_out": port_out, "graph_tmp_dir": str(socket_folder)})
    pid, terminal = pty.fork()
    if pid == 0:
        os.execv(sys.executable, [sys.executable, str(SUPPORT / "run_fake_server.py"), options])
    with BertClient(port=port, port_out=port_out, connect_timeout=60_000) as client:
        client.encode(["!slow 1.0 a"], blocking=False)
        wait_until(lambda: client.server_status["queue"]["open_requests"] == 1)
        os.close(terminal)
        (rows,) = client.fetch_all()
    np.testing.assert_array_equal(rows, [vector_of("!slow 1.0 a")])
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    assert list(socket_folder.iterdir()) == []


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGTERM, signal.SIGINT])
def test_a_bulk_job_ends_with_its_own_server(socket_folder: Path, tmp_path: Path, number: int) -> None:
    (tmp_path / "in.txt").write_text("\n".join(f"!slow 0.01 {line}" for line in range(5000)))
    options = ["in.txt", "out.npy", "-model_dir", "fake", "-batch_size", "10", "-graph_tmp_dir", str(socket_folder)]
    process = subprocess.Popen(
        [sys.executable, str(SUPPORT / "fake_encode.py"), *options],
        cwd=tmp_path, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    part = tmp_path / "out.npy.part"
    wait_until(lambda: process.poll() is not None or (part.exists() and part.stat().st_size > 1000))
    children = psutil.Process(process.pid).children(recursive=True)
    os.killpg(process.pid, number)
    if number == signal.SIGHUP:
        os.killpg(process.pid, number)
    _, said = process.communicate(timeout=120)
    assert (process.returncode, "error: stopped; continue with -resume" in said) == (1, True), said
    assert "Traceback" not in said
    psutil.wait_procs(children, timeout=30)
    assert not any(child.is_running() for child in children)
    assert list(socket_folder.iterdir()) == []
