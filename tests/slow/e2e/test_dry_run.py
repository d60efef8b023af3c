"""`bert-serving-start -dry_run`: says what would run, and is right about it."""

from __future__ import annotations

import re
import socket
import subprocess
import time
from pathlib import Path

import psutil
import pytest
from command import START, Command
from folders import TINY
from ports import free_ports

from bert_serving.client import BertClient


def rehearse(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [*START, "-cpu", "-dry_run", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def test_it_says_what_would_run_and_starts_nothing() -> None:
    ports = free_ports(3)
    where = ["-port", str(ports[0]), "-port_out", str(ports[1]), "-http_port", str(ports[2])]
    begin_s = time.time()
    done = rehearse("-model_dir", str(TINY), "-num_worker", "2", *where)
    assert done.returncode == 0, done.stderr
    model, *workers, listening, memory = done.stdout.splitlines()[-5:]
    assert model.startswith("model: BERT, 3 of 4 layers kept, vectors of 48 a token")
    assert [worker.split(",")[0] for worker in workers] == ["worker-0: cpu", "worker-1: cpu"]
    assert listening == f"ports: {ports[0]} and {ports[1]} on * are free, and {ports[2]} on 0.0.0.0 for HTTP"
    assert re.fullmatch(r"memory: about [\d.]+ GiB for each worker, .* are free(: TOO LITTLE.*)?", memory)
    assert not [one.pid for one in psutil.Process().children(recursive=True) if one.create_time() > begin_s]


@pytest.mark.parametrize("option", ["-port", "-port_out", "-http_port"])
def test_a_port_in_use_is_named(option: str) -> None:
    with socket.create_server(("", 0)) as taken:
        port = taken.getsockname()[1]
        others = [word for name in ("-port", "-port_out") if name != option for word in (name, str(free_ports(1)[0]))]
        failed = rehearse("-model_dir", str(TINY), option, str(port), *others)
    assert failed.returncode == 1
    assert str(port) in failed.stderr.splitlines()[-1]
    assert option in failed.stderr.splitlines()[-1]


def test_what_is_wrong_with_a_model_is_said() -> None:
    assert rehearse("-model_dir", "/nowhere").returncode == 2
    assert rehearse("-model_dir", str(TINY), "-max_seq_len", "100000").returncode == 2


def test_the_memory_that_it_names_is_about_what_a_worker_takes(minilm: Path) -> None:
    shown = rehearse("-model_dir", str(minilm)).stdout
    named = float(shown.split("memory: about ")[1].split()[0])
    with Command("-model_dir", str(minilm), "-cpu") as server:
        server.wait_until_ready()
        with BertClient(**server.ports) as client:
            pids = {process["name"]: process["pid"] for process in client.server_status["processes"]}
        taken = psutil.Process(pids["worker-0"]).memory_info().rss / 2**30
    assert 0.7 < named / taken < 1.4, (named, taken)
