"""What runs in a container, without one, and what starts several."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from docker_files import DOCKER, environment_of
from folders import TINY
from ports import free_ports


def test_a_container_is_healthy_when_it_is_ready_and_stops_in_time(tmp_path: Path) -> None:
    port, port_out, http_port = free_ports(3)
    (tmp_path / "bert-serving-start").write_text(
        f'#!/bin/sh\nexec {sys.executable} -m bert_serving.server.cli.start "$@"\n'
    )
    (tmp_path / "bert-serving-start").chmod(0o755)
    own = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "BERT_SERVING_MODEL_DIR": str(TINY)}
    own["XDG_CACHE_HOME"] = str(tmp_path / "cache")  # /cache is a volume of the image
    ports = {"PORT": port, "PORT_OUT": port_out, "HTTP_PORT": http_port}
    own |= {f"BERT_SERVING_{name}": str(value) for name, value in ports.items()}
    env = {**os.environ, **environment_of(DOCKER / "Dockerfile"), **own}

    def health() -> subprocess.CompletedProcess[str]:
        return subprocess.run([sys.executable, DOCKER / "healthcheck.py"], env=env, capture_output=True, text=True)

    assert "nothing answers" in health().stderr
    command = [str(DOCKER / "entrypoint.sh"), "2", "-http_host", "127.0.0.1"]
    with subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        try:
            said, begin_s = set(), time.monotonic()
            while (checked := health()).returncode:
                assert server.poll() is None
                said.add(checked.stderr.strip())
            assert any("loading" in text for text in said)
            ready_s = time.monotonic()
            server.send_signal(signal.SIGTERM)
            assert server.wait(30) == 0
            assert time.monotonic() - ready_s < ready_s - begin_s, "to stop took longer than to load the model"
        finally:
            server.kill()


def test_compose_is_sound() -> None:
    compose = shutil.which("docker-compose")
    if compose is None:
        pytest.skip("no docker-compose here: Debian's package of that name has it")
    command = [compose, "-f", str(DOCKER / "compose.yml"), "config", "-q"]
    needed = {"MODEL": "/model", "GRAFANA_PASSWORD": "chosen by a person"}
    checked = subprocess.run(command, env={**os.environ, **needed}, capture_output=True, text=True)
    assert checked.returncode == 0, checked.stderr
    for name in needed:
        left_out = {**os.environ, **needed, name: ""}
        checked = subprocess.run(command, env=left_out, capture_output=True, text=True)
        assert checked.returncode != 0
        assert name in checked.stderr
