"""Four families of encoders through a service with two workers, one of which dies meanwhile."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from folders import GOLDEN
from ports import free_ports
from serving import wait_until

from bert_serving.client import BertClient
from bert_serving.server.config import ServerConfig
from bert_serving.server.service.server import BertServer

FOLDER = GOLDEN / "architectures"
CASES = json.loads((FOLDER / "cases.json").read_text())
NUMBERS = np.load(FOLDER / "vectors.npz")
PLAIN = {"max_seq_len": 64, "pooling_layer": (-1,)}


def served(folder: Path, texts: list[str], **options: Any) -> Any:
    """Vectors of requests side by side, the same in each of them, though a worker is killed meanwhile."""
    port, port_out = free_ports(2)
    where: dict[str, Any] = {"port": port, "port_out": port_out}
    config = ServerConfig.from_mapping({"model_dir": str(folder), "num_worker": 2, "cpu": True, **where, **options})
    with BertServer(config), BertClient(**where, check_length=False) as client, ThreadPoolExecutor(4) as threads:
        alone = client.encode(texts)
        workers = {one["name"]: one["pid"] for one in client.server_status["processes"]}
        answers = [threads.submit(client.encode, texts) for _ in range(40)]
        psutil.Process(workers["worker-0"]).kill()
        for answer in answers:
            np.testing.assert_allclose(answer.result(), alone, rtol=0, atol=5e-6)
        wait_until(lambda: workers["worker-0"] not in {one["pid"] for one in client.server_status["processes"]})
        return alone


@pytest.mark.parametrize("family", ["xlm_roberta", "mpnet", "modernbert"])
def test_means_of_a_family(family: str) -> None:
    found = served(FOLDER / family, CASES["texts"], **PLAIN)
    np.testing.assert_allclose(found, NUMBERS[f"{family}/mean"], rtol=0, atol=2e-5)


def test_a_folder_of_sentence_transformers_with_a_prompt() -> None:
    found = served(FOLDER / "st_prompts", CASES["models"]["st_prompts"]["texts"], prompt="query")
    np.testing.assert_allclose(found, NUMBERS["st_prompts/query"], rtol=0, atol=2e-5)


def test_a_cross_encoder() -> None:
    pairs = [" ||| ".join(pair) for pair in CASES["pairs"]]
    found = served(FOLDER / "cross_xlm_roberta", pairs, pooling_strategy="REGRESSION", max_seq_len=48)
    np.testing.assert_allclose(found[:, 0], NUMBERS["cross_xlm_roberta/scores"], rtol=0, atol=2e-5)
