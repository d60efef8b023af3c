"""`bert-serving-benchmark` over a small model that it starts itself."""

from __future__ import annotations

from pathlib import Path

import pytest
from benchmark_command import assert_image, benchmark, tables_of, with_texts
from family import Family
from folders import TINY


def test_a_server_of_its_own(tmp_path: Path, family: Family) -> None:
    varied = "-test_client_batch_size 1 8 -test_max_batch_size 8 -test_num_client 2 -test_max_seq_len 16 128"
    rest = "-test_pooling_layer -1 -5 -arrival_rate 50 -cpu -model_dir"
    folder = with_texts(tmp_path)
    done = benchmark(folder, *varied.split(), *rest.split(), str(TINY))
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
