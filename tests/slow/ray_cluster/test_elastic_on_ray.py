"""Workers of a Ray cluster come and go with the load, and give their room back."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from fake_engine import expected
from ray_machines import Machines
from serving import fake_config, ports_of, wait_until

from bert_serving.client import BertClient
from bert_serving.server import BertServer

pytestmark = pytest.mark.filterwarnings("default")  # Ray has warnings of its own

LIMIT_S = 120


def test_actors_come_with_the_load_and_give_their_room_back(cluster: Machines) -> None:
    import ray

    config = fake_config(
        launcher="ray", ray_address=cluster.address, host="127.0.0.1", num_worker=1, max_worker=2, scale_up_wait=1,
        scale_down_idle=1, max_batch_size=4,
    )  # fmt: skip
    with (
        BertServer(config) as server,
        BertClient(**ports_of(server)) as client,
        BertClient(**ports_of(server)) as watcher,
    ):

        def states() -> list[str]:
            processes = watcher.server_status["processes"]
            return [process["state"] for process in processes if process["name"].startswith("worker-")]

        texts = [f"!slow 0.02 {number}" for number in range(600)]
        with ThreadPoolExecutor(1) as pool:
            running = pool.submit(client.encode, texts)
            wait_until(lambda: states() == ["ready", "ready"])
            assert ray.available_resources().get("CPU", 0) == 0
            np.testing.assert_array_equal(running.result(LIMIT_S), expected(texts))
        wait_until(lambda: states() == ["ready"])
        wait_until(lambda: ray.available_resources().get("CPU", 0) == 1)
        assert client.encode(["again"]).tolist() == expected(["again"]).tolist()
