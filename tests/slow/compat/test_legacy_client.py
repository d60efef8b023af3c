"""The published bert-serving-client 1.10.0, unmodified and with its default arguments, against this server."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from command import Command
from folders import GOLDEN, TINY

HERE = Path(__file__).parent
SCENARIOS = [
    "plain",
    "tokenized",
    "tokens",
    "as_lists",
    "fetch",
    "fetch_all",
    "encode_async",
    "clones",
    "config_and_status",
    "concurrent",
    "wrong_text_raises",
]


@pytest.fixture(scope="module")
def server() -> Iterator[Command]:
    with Command("-model_dir", str(TINY), "-cpu", "-show_tokens_to_client") as server:
        yield server.wait_until_ready()


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_scenario(scenario: str, legacy_client_python: str, server: Command) -> None:
    command = [legacy_client_python, "-I", str(HERE / "legacy_client.py"), scenario]
    done = subprocess.run(
        [*command, str(server.port), str(server.port_out), str(GOLDEN)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout.strip().splitlines()[-1:]) == (0, ["ok"]), done.stderr
