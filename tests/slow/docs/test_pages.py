"""README.md and the pages of docs/ tell the truth: their blocks run."""

from __future__ import annotations

import inspect
import json
import shlex
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path

import httpx
import numpy as np
import pages
import pytest
from command import Command, FakeCommand
from gateway_support import wait_until_ready
from pages import Block
from ports import free_ports

from bert_serving.client.base import BaseClient
from bert_serving.server.benchmark.plan import CLIENT_PARAMETERS, SERVER_PARAMETERS
from bert_serving.server.cli.encode import get_encode_parser
from bert_serving.server.options import get_args_parser, get_gateway_parser
from bert_serving.server.transport.curve import make_keys

NOT_RUN = {
    "bert-serving-start -launcher ray -num_worker 8 -model_dir /models/uncased_L-12_H-768_A-12": "it needs a cluster; "
    "tests/slow/ray_cluster has one",
    "bert-serving-encode texts/ vectors/ -engine ray -num_worker 8 -model_dir /models/all-MiniLM-L6-v2": "it needs a "
    "cluster; test_bulk_on_ray.py has one",
    "git clone https://github.com/bert-serving/bert-serving": "it takes the network",
    "cd bert-serving": "there is no clone",
    "make demo": "the set-up takes the network; test_demo.py runs the demo itself",
    "make test": "it is what runs this test",
    "pip install huggingface_hub": "it takes the network",
    "hf download sentence-transformers/all-MiniLM-L6-v2 --local-dir /models/all-MiniLM-L6-v2": "it takes the network",
    "pip install ./client": "it takes the network; `make test` installs this folder",
    "pip install './server[cpu]'": "it takes the network; `make test` installs this folder",
    "pip install './server[gpu]'": "it takes the network and some gigabytes",
    "pip install '.[cpu]'": "it takes the network; it installs the two above",
    "pip install './server[cpu,http]'": "it takes the network; `make test` installs that",
    "docker build -t bert-as-service -f ./docker/Dockerfile .": "it takes Docker; test_docker.py takes its steps",
    "docker run --rm -p 5555:5555 -p 5556:5556 -p 8125:8125 -v /models/uncased_L-12_H-768_A-12:/model:ro "
    "-t bert-as-service 2": "it takes Docker; test_docker.py runs the entry point",
    "MODEL=/models/uncased_L-12_H-768_A-12 GRAFANA_PASSWORD=... docker compose -f docker/compose.yml up --build": "it "
    "takes Docker",
    'KEY=$(head -c 32 /dev/urandom | base64); echo "$KEY"; printf %s "$KEY" | sha256sum': "test_api_keys.py runs it",
    "bert-serving-start -device_map 0 1 4 -num_worker 4 -model_dir /models/uncased_L-12_H-768_A-12": "it takes GPUs",
    "bert-serving-gateway -http_port 8125 -model mini=localhost:5555:5556 -model rerank=gpu-2:5555:5556": "it takes "
    "two services; tests/service/gateway has them",
}
"""Commands of the pages that no test runs, and why not."""


QUICK_BENCHMARK = ["-duration", "0.2", "-client_batch_size", "8", "-client_vocab_file", str(pages.README), "-cpu"]
"""Added to the benchmarks of the pages, which would take minutes."""

HERE = [page for page in pages.PAGES if page not in pages.REHEARSED]


def shell_commands() -> list[str]:
    blocks = [block for block in pages.blocks("bash", HERE) if block.is_run]
    return [line.split("   #")[0].strip() for block in blocks for line in block.text.splitlines()]


def python_blocks() -> list[Block]:
    """Those for the same server are neighbours."""
    blocks = [block for block in pages.blocks("python", HERE) if block.is_run]
    return sorted(blocks, key=lambda block: block.comments.get("server", ""))


LANGUAGES = {"python", "bash", "text", "toml", "yaml", "ini", "nginx", "caddyfile", "bibtex"}


def test_every_block_has_a_language_that_is_known() -> None:
    assert {block.language for block in pages.blocks()} <= LANGUAGES


def test_python_blocks_that_are_not_run_are_few() -> None:
    skipped = [block.comments["not run"] for block in pages.blocks("python") if not block.is_run]
    assert skipped == ["needs a second machine"] * 3


def test_shell_blocks_that_are_not_run_are_few() -> None:
    skipped = sorted(block.comments["not run"] for block in pages.blocks("bash") if not block.is_run)
    assert skipped == [
        "it changes the machine",
        "it changes the machine",
        "it takes half an hour",
        "needs a name and a certificate; test_tls.py asks through both proxies",
    ]


@pytest.mark.parametrize("block", python_blocks(), ids=str)
def test_python_block(
    block: Block,
    server_with: Callable[[str], Command],
    real_paths: Callable[[str], str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for module in block.comments.get("needs", "").split():
        pytest.importorskip(module)
    options = block.comments.get("server", "")
    server = None if options == "none" else server_with(options)
    port, port_out, http_port = (server.port, server.port_out, server.http_port) if server else free_ports(3)
    use_ports(monkeypatch, port, port_out)
    code = pages.with_checks(pages.with_ports(real_paths(block.text), port, port_out, http_port))
    exec(compile("\n" * block.line + code, str(block.page), "exec"), {"__name__": "block"})


def use_ports(monkeypatch: pytest.MonkeyPatch, port: int, port_out: int) -> None:
    """Let `BertClient()` mean a server on these ports."""
    init = inspect.unwrap(BaseClient.__init__)
    defaults = tuple({5555: port, 5556: port_out}.get(value, value) for value in init.__defaults__ or ())
    monkeypatch.setattr(init, "__defaults__", defaults)


@pytest.mark.parametrize("line", [line for line in dict.fromkeys(shell_commands()) if line not in NOT_RUN])
def test_shell_command(
    line: str, real_paths: Callable[[str], str], server_with: Callable[[str], Command], tmp_path: Path
) -> None:
    name, *options = shlex.split(real_paths(line).replace("/etc/bert-keys", str(tmp_path / "keys")))
    if "-curve_dir" in options:
        make_keys(tmp_path / "keys", ["alice"])
    if name == "bert-serving-start":
        port, port_out, http_port = map(str, free_ports(3))
        ports = ["-port", port, "-port_out", port_out]
        if "-http_port" in options:
            ports += ["-http_port", http_port]
        subprocess.run([*installed(name), *options, "-cpu", "-dry_run", *ports], check=True, timeout=120)
    elif name == "bert-serving-keygen":
        subprocess.run([*installed(name), *options], check=True, timeout=60)
        assert (tmp_path / "keys" / "for_clients" / "alice" / "client.key_secret").is_file()
    elif name == "bert-serving-terminate":
        with FakeCommand() as fake:
            fake.wait_until_ready()
            real = [pages.with_ports(option, fake.port, fake.port_out) for option in options]
            subprocess.run([*installed(name), *real], check=True, timeout=60)
            assert fake.wait_for_end(60) == 0
    elif name == "bert-serving-benchmark":
        if "-target" in options:
            target = server_with("")
            options = [pages.with_ports(option, target.port, target.port_out) for option in options]
        quick = [f"-test_{varied}" for varied in (*CLIENT_PARAMETERS, *SERVER_PARAMETERS)]
        subprocess.run([*installed(name), *options, *quick, *QUICK_BENCHMARK], check=True, timeout=240)
    elif name == "bert-serving-encode":
        Path("reviews.csv").write_text("id,body\n1,good\n2,bad\n")
        Path("texts").mkdir()
        Path("texts/a.txt").write_text("good\n")
        subprocess.run([*installed(name), *options, "-cpu"], check=True, timeout=240)
        assert Path("vectors/a.npy" if options[0] == "texts/" else options[1]).is_file()
    elif name == "bert-serving-verify":
        subprocess.run([*installed(name), *options, "-cpu"], check=True, timeout=240)
    elif name == "curl":
        curl(name, line, options, server_with("-http_port 8125"))
    else:
        pytest.fail(f"a page has a command that this test does not know: {line}")


def curl(name: str, line: str, options: list[str], server: Command) -> None:
    """Run it as it stands; what it was answered is what the page says."""
    if shutil.which(name) is None:
        pytest.skip("no curl here")
    with httpx.Client(base_url=f"http://127.0.0.1:{server.http_port}") as http:
        wait_until_ready(http)
    real = [pages.with_ports(option, server.port, server.port_out, server.http_port) for option in options]
    answer = subprocess.run([name, "--fail-with-body", *real], check=True, capture_output=True, timeout=60).stdout
    if "-o" in options:
        assert np.fromfile("hello.f32", "<f4").shape == (48,)
    elif "/metrics" in line:
        assert b"bert_serving_ready 1.0" in answer
    else:
        assert json.loads(answer)


def installed(name: str) -> list[str]:
    """How to run one of our commands: the script if it is installed beside this Python, else its module."""
    script = Path(sysconfig.get_path("scripts"), name)
    module = f"bert_serving.server.cli.{name.removeprefix('bert-serving-')}"
    return [str(script)] if script.is_file() else [sys.executable, "-m", module]


def test_commands_that_are_not_run_stand_on_a_page() -> None:
    assert set(NOT_RUN) <= set(shell_commands())


@pytest.mark.parametrize("line", [line for line in NOT_RUN if line.startswith("bert-serving-")])
def test_options_of_commands_that_are_not_run(line: str) -> None:
    name, *options = shlex.split(line)
    parsers = {"bert-serving-encode": get_encode_parser, "bert-serving-gateway": get_gateway_parser}
    assert parsers.get(name, get_args_parser)().parse_args(options)


@pytest.mark.parametrize("command", ["start", "terminate", "benchmark", "keygen", "verify", "encode", "gateway"])
def test_help(command: str) -> None:
    name = f"bert-serving-{command}"
    shown = subprocess.run([*installed(name), "--help"], check=True, capture_output=True, text=True, timeout=60).stdout
    assert name in shown
    assert "-curve" in shown
