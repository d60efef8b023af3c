"""The configuration files that pages of docs/ show are such files, and fit the options they speak of."""

from __future__ import annotations

import configparser
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from pages import DOCS, blocks

from bert_serving.server.config import ServerConfig
from bert_serving.server.gateway.model_table import models_of_file
from bert_serving.server.options import get_args_parser

GUIDE = DOCS / "guide"


def unit() -> str:
    (block,) = blocks("ini", [GUIDE / "systemd.md"])
    return block.text


def test_the_file_of_models_can_be_read() -> None:
    (block,) = blocks("toml", [GUIDE / "gateway.md"])
    models = models_of_file(block.text.encode(), Path("/etc/models.toml"))
    assert {name: len(places) for name, places in models.items()} == {"mini": 2, "rerank": 1}


def test_the_unit_of_systemd_fits_the_options() -> None:
    parser = configparser.ConfigParser(interpolation=None)
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    parser.read_string(unit())
    service = parser["Service"]
    name, *options = shlex.split(service["ExecStart"])
    config = ServerConfig.from_mapping(vars(get_args_parser().parse_args(options)))
    assert name.endswith("/bert-serving-start")
    assert int(service["TimeoutStopSec"]) > config.drain_timeout
    assert int(service["TimeoutStartSec"]) > config.start_timeout
    assert int(service["LimitNOFILE"]) >= config.max_clients + 256


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd here")
def test_systemd_accepts_the_unit(tmp_path: Path) -> None:
    path = tmp_path / "bert-serving.service"
    path.write_text(unit().replace("/opt/bert/venv/bin/bert-serving-start", sys.executable).replace("User=bert\n", ""))
    done = subprocess.run(["systemd-analyze", "verify", str(path)], capture_output=True, text=True, timeout=60)
    assert [line for line in done.stderr.splitlines() if path.name in line] == []
