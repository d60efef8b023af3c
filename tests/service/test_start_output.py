"""What `bert-serving-start` shows from its start to its end, to people, to scripts and to systemd."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from folders import SUPPORT
from ports import free_ports

from bert_serving.server.service.notification import notify

READY = "all set, ready to serve request!"


@contextmanager
def started(*words: str, env: dict[str, str] | None = None) -> Iterator[tuple[subprocess.Popen[str], list[int]]]:
    ports = free_ports(3)
    names = ("-port", "-port_out", "-http_port")
    where = [word for name, port in zip(names, ports, strict=True) for word in (name, str(port))]
    command = [
        sys.executable,
        str(SUPPORT / "fake_start.py"),
        "-model_dir",
        "fake",
        "-host",
        "127.0.0.1",
        *where,
        *words,
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=env) as process:
        try:
            yield process, ports
        finally:
            process.kill()


def shown_until_the_end(process: subprocess.Popen[str]) -> list[str]:
    """Its lines, of which it is stopped after the one that says that it is ready."""
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        lines.append(line.rstrip("\n"))
        if READY in line:
            process.send_signal(signal.SIGTERM)
    assert process.wait() == 0, lines
    return lines


def test_a_start_is_short_and_ends_with_where_to_go() -> None:
    with started() as (process, (port, port_out, http_port)):
        lines = shown_until_the_end(process)
    first, last = lines[0], lines[-1]
    assert first.startswith("options: -model_dir fake ")
    ready = next(number for number, line in enumerate(lines) if READY in line)
    assert ready + 2 <= 15, lines
    assert re.fullmatch(rf"\d{{4}}-\d\d-\d\d \d\d:\d\d:\d\d I:SUPERVISOR:{READY}", lines[ready])
    assert re.fullmatch(
        rf"\S+ \S+ I:SUPERVISOR:ready in [\d.]+ s: requests to tcp://127.0.0.1:{port}, results from "
        rf"tcp://127.0.0.1:{port_out}, HTTP at http://localhost:{http_port} \(docs: http://localhost:{http_port}/docs\)",
        lines[ready + 1],
    )
    assert last.endswith(":stopped")


def test_verbose_shows_every_argument() -> None:
    with started("-verbose") as (process, _):
        lines = shown_until_the_end(process)
    assert lines[0].split() == ["ARG", "VALUE"]
    assert any(line.split() == ["prefetch_size", "=", "10"] for line in lines)


@pytest.mark.parametrize("is_abstract", [False, True], ids=["a file", "abstract"])
def test_systemd_is_told_of_the_start_and_the_stop(
    is_abstract: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"bert-serving-{uuid.uuid4()}" if is_abstract else str(tmp_path / "notify")
    monkeypatch.setenv("NOTIFY_SOCKET", "@" * is_abstract + name)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notified:
        notified.bind("\0" * is_abstract + name)
        with started() as (process, _):
            shown_until_the_end(process)
        notified.setblocking(False)
        assert [notified.recv(100), notified.recv(100)] == [b"READY=1", b"STOPPING=1"]


@pytest.mark.parametrize("where", ["/nowhere/notify", "@", "x" * 500], ids=["missing", "no name", "too long"])
def test_a_broken_notify_socket_disturbs_nobody(where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", where)
    notify("READY=1")
