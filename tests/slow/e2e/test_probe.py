"""What is counted on a real server under a load."""

from __future__ import annotations

from pathlib import Path

import pytest
from folders import TINY

from bert_serving.server.benchmark.workloads import TextPool
from bert_serving.server.config import ServerConfig
from scaling.probe import started


@pytest.mark.parametrize("num_worker", [1, 2])
def test_the_server_has_the_workers_that_were_asked_for_and_all_its_work_is_counted(
    num_worker: int, tmp_path: Path
) -> None:
    config = ServerConfig.from_mapping({"model_dir": str(TINY), "cpu": True, "max_seq_len": 16})
    with started(config, num_worker, tmp_path / "log") as probe:
        counted, done = probe.closed(TextPool(("a b",)), 20, 2, 0.5)
    assert counted.rows == 20 * len(done.samples) > 0
    assert counted.tokens == 4 * counted.rows
    assert len(done.samples) <= counted.batches <= counted.rows
    for name in ("lanes_s", "in_out_s", "ventilator_s", "sink_s", "aside_s"):
        assert getattr(counted, name) > 0.0, name
