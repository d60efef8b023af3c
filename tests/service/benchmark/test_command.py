"""The command as a person runs it: over a small model that it starts itself, and over servers that run already."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from family import Family
from folders import TINY
from matplotlib.image import imread
from ports import free_ports
from serving import Serve

RUN = ["-m", "bert_serving.server.cli.benchmark"]
BARE = [
    "-c",
    "import sys; sys.modules['matplotlib'] = sys.modules['tqdm'] = None; "
    "from bert_serving.server.cli.benchmark import main; main()",
]
NOTHING_VARIED = [f"-test_{name}" for name in ("max_batch_size", "max_seq_len", "pooling_layer", "num_client")]
SHORT = ["-duration", "0.3", "-num_repeat", "2", "-client_batch_size", "16", "-interactive_rate", "20"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """One with a file of texts in it."""
    words = "First do it. Then do it right, as well as you can! Then do it better? A sentence of the usual length."
    (tmp_path / "texts.txt").write_text(words)
    return tmp_path


def run(folder: Path, *options: str, how: list[str] = RUN) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *how, "-client_vocab_file", "texts.txt", *SHORT, *options]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=240)


def tables_of(folder: Path) -> dict[str, list[dict[str, Any]]]:
    content = json.loads((folder / "benchmark" / "benchmark.json").read_text())
    return {table["name"]: table["points"] for table in content["tables"]}


def assert_image(path: Path) -> None:
    if path.suffix == ".svg":
        assert ElementTree.parse(path).getroot().tag.endswith("svg")
    else:
        pixels = imread(path)
        assert pixels.shape[0] > 500
        assert pixels.shape[1] > 800
        assert pixels.std() > 0.01


def test_a_server_of_its_own(folder: Path, family: Family) -> None:
    varied = "-test_client_batch_size 1 8 -test_max_batch_size 8 -test_num_client 2 -test_max_seq_len 16 128"
    rest = "-test_pooling_layer -1 -5 -arrival_rate 50 -cpu -model_dir"
    done = run(folder, *varied.split(), *rest.split(), str(TINY))
    assert done.returncode == 0, done.stderr
    assert family.members() == []
    tables = tables_of(folder)
    assert {name: len(points) for name, points in tables.items()} == {
        "client_batch_size": 4,
        "num_client": 2,
        "arrival_rate": 2,
        "interactive": 4,
        "max_batch_size": 2,
        "max_seq_len": 4,
        "pooling_layer": 4,
    }
    refused = {(point["value"], point["problem"]) for points in tables.values() for point in points if point["problem"]}
    assert sorted(value for value, _ in refused) == [-5, 128]
    fixed, mixed = (point for point in tables["max_seq_len"] if point["value"] == 16)
    assert fixed["tokens_per_s"]["median"] == pytest.approx(16 * fixed["sentences_per_s"]["median"])
    assert mixed["tokens_per_s"]["median"] < 16 * mixed["sentences_per_s"]["median"]
    assert fixed["padding"] == 0
    alone, beside = tables["interactive"][:2]
    assert (alone["sentences_per_s"], beside["sentences_per_s"]["median"] > 0) == (None, True)
    page = (folder / "benchmark" / "benchmark.md").read_text()
    for name in tables:
        assert f"\n## `{name}`\n" in page
        assert f"![{name}]({name}.svg)" in page
        for kind in ("png", "svg"):
            assert_image(folder / "benchmark" / f"{name}.{kind}")


def test_a_server_that_runs_already(folder: Path, serve: Serve) -> None:
    config = serve(show_tokens_to_client=True).config
    address = f"localhost:{config.port}:{config.port_out}"
    done = run(folder, "-target", address, "-test_client_batch_size", "4", "-test_num_client", "2", "-seed", "7")
    assert done.returncode == 0, done.stderr
    assert "could not be varied: there is no table of max_batch_size, max_seq_len, pooling_layer" in done.stdout
    tables = tables_of(folder)
    assert set(tables) == {"client_batch_size", "num_client", "interactive"}
    for point in tables["client_batch_size"]:
        rates = point["sentences_per_s"]
        assert 0 < rates["min"] <= rates["median"] <= rates["max"]
        assert point["tokens_per_s"]["median"] > rates["median"]
        assert 0 <= point["padding"] < 1
    content = json.loads((folder / "benchmark" / "benchmark.json").read_text())
    assert content["server"]["port"] == config.port
    assert content["settings"]["seed"] == 7
    assert {"cpu", "cores", "python", "tensorflow", "numpy", "zmq"} <= set(content["machine"])


def test_without_matplotlib_and_tqdm(folder: Path, serve: Serve) -> None:
    config = serve().config
    address = f"localhost:{config.port}:{config.port_out}"
    options = ["-target", address, "-test_client_batch_size", "4", *NOTHING_VARIED, "-interactive_rate", "0"]
    done = run(folder, *options, how=BARE)
    assert (done.returncode, done.stderr) == (0, "")
    assert "there are no plots, because matplotlib is not installed" in done.stdout
    assert sorted(path.name for path in (folder / "benchmark").iterdir()) == ["benchmark.json", "benchmark.md"]
    page = (folder / "benchmark" / "benchmark.md").read_text()
    assert "| `client_batch_size` | texts | sentences/s | min | max | p50 ms | p99 ms | padding % | requests |" in page


@pytest.mark.parametrize(
    ("options", "status", "says"),
    [
        (["-texts", "words"], 2, "-model_dir is required"),
        (["-model_dir", "no-such-folder"], 1, "no-such-folder is not a folder"),
        (["-target", "nonsense"], 1, "-target nonsense is neither"),
        (["-target", "http://127.0.0.1:9/v1/embeddings"], 1, "does not answer"),
    ],
)
def test_what_cannot_be_measured_is_one_line(folder: Path, options: list[str], status: int, says: str) -> None:
    done = run(folder, *options, how=BARE)
    assert done.returncode == status
    [line] = done.stderr.splitlines()
    assert line.startswith("bert-serving-benchmark: error: ")
    assert says in line


def test_a_target_that_is_not_there_is_one_line(folder: Path) -> None:
    port, port_out = free_ports(2)
    done = run(folder, "-target", f"localhost:{port}:{port_out}", "-wait_till_ready", "1", how=BARE)
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
