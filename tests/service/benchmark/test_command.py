"""The command as a person runs it: over servers that run already."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from benchmark_command import BARE, NOTHING_VARIED, benchmark, tables_of, with_texts
from ports import free_ports
from serving import Serve

from bert_serving.server import BertServer


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return with_texts(tmp_path)


def test_a_server_that_runs_already(folder: Path, serve: Serve) -> None:
    config = serve(show_tokens_to_client=True).config
    address = f"localhost:{config.port}:{config.port_out}"
    done = benchmark(folder, "-target", address, "-test_client_batch_size", "4", "-test_num_client", "2", "-seed", "7")
    assert done.returncode == 0, done.stderr
    assert "could not be varied: there is no table for max_batch_size, max_seq_len, pooling_layer" in done.stdout
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


def test_without_matplotlib_and_tqdm(folder: Path, server: BertServer) -> None:
    config = server.config
    address = f"localhost:{config.port}:{config.port_out}"
    options = ["-target", address, "-test_client_batch_size", "4", *NOTHING_VARIED, "-interactive_rate", "0"]
    done = benchmark(folder, *options, how=BARE)
    assert (done.returncode, done.stderr) == (0, "")
    assert "there are no plots, because matplotlib is not installed" in done.stdout
    assert sorted(path.name for path in (folder / "benchmark").iterdir()) == ["benchmark.json", "benchmark.md"]
    page = (folder / "benchmark" / "benchmark.md").read_text()
    assert "| `client_batch_size` | texts | sentences/s | min | max | p50 ms | p99 ms | padding % | requests |" in page


@pytest.mark.parametrize(
    ("options", "status", "says"),
    [
        (["-texts", "words"], 2, "give -model_dir"),
        (["-model_dir", "no-such-folder"], 1, "no-such-folder is not a folder"),
        (["-target", "nonsense"], 1, "-target nonsense is neither"),
        (["-target", "http://127.0.0.1:9/v1/embeddings"], 1, "does not answer"),
    ],
)
def test_what_cannot_be_measured_is_one_line(folder: Path, options: list[str], status: int, says: str) -> None:
    done = benchmark(folder, *options, how=BARE)
    assert done.returncode == status
    [line] = done.stderr.splitlines()
    assert line.startswith("bert-serving-benchmark: error: ")
    assert says in line


def test_a_target_that_is_not_there_is_one_line(folder: Path) -> None:
    port, port_out = free_ports(2)
    done = benchmark(folder, "-target", f"localhost:{port}:{port_out}", "-wait_till_ready", "1", how=BARE)
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
