"""`-launcher ray`: workers as actors on the machines of a cluster, which are raylets on this one here."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command import FakeCommand, Started
from fake_engine import expected
from folders import SUPPORT, TINY
from ports import free_ports
from ray_machines import Machines, add_machine, ray_machines
from serving import fake_config, ports_of, processes, wait_until

from bert_serving.client import BertClient
from bert_serving.server import BertServer, ConfigError, ServerConfig, StartError
from bert_serving.server.transport.curve import make_keys

pytestmark = pytest.mark.filterwarnings("default")  # Ray has warnings of its own

TEXTS = [f"text {number}" for number in range(300)]
EXPECTED = expected(TEXTS)


@contextmanager
def serving(cluster: Machines, **options: Any) -> Iterator[tuple[BertServer, BertClient]]:
    """A ready server with the fake engine and a client of it."""
    values = {"launcher": "ray", "ray_address": cluster.address, "num_worker": 2, "host": "127.0.0.1", **options}
    with BertServer(fake_config(**values)) as server, BertClient(**ports_of(server)) as client:
        yield server, client


def workers(server: BertServer) -> list[dict[str, Any]]:
    return [process for process in processes(server) if process["name"].startswith("worker-")]


def test_workers_are_actors_on_several_machines(cluster: Machines) -> None:
    import ray

    with serving(cluster) as (server, client):
        np.testing.assert_array_equal(client.encode(TEXTS), EXPECTED)
        shown = workers(server)
        actors = {worker["device"].rpartition("actor ")[2] for worker in shown}
        alive = {actor["ActorID"][:8]: actor["Address"]["NodeID"] for actor in _alive_actors()}
        assert actors <= alive.keys()
        assert len({alive[actor] for actor in actors}) == 2
        assert all(worker["device"].startswith("cpu at ") and worker["pid"] for worker in shown)
    assert not ray.is_initialized()


def _alive_actors() -> list[dict[str, Any]]:
    from ray._private.state import state

    return [actor for actor in state.actor_table(None).values() if actor["State"] == "ALIVE"]


def test_nothing_is_lost_when_machines_and_actors_die(cluster: Machines) -> None:
    import ray

    with serving(cluster, max_batch_size=8) as (server, client), ThreadPoolExecutor(4) as pool:
        for death in ("machine", "process"):
            slow = [[f"!slow 0.001 {number} {caller} {death}" for number in range(300)] for caller in range(4)]
            running = [pool.submit(client.encode, texts) for texts in slow]
            if death == "machine":
                cluster.remove_node(next(node for node in cluster.worker_nodes), allow_graceful=False)
                add_machine(cluster)
            else:
                os.kill(workers(server)[0]["pid"], 9)
            for texts, answer in zip(slow, running, strict=True):
                np.testing.assert_array_equal(answer.result(60), expected(texts))
            wait_until(lambda: all(worker["state"] == "ready" for worker in workers(server)))
        assert sum(worker["restarts"] for worker in workers(server)) >= 2
        np.testing.assert_array_equal(client.encode(TEXTS), EXPECTED)
    assert not ray.is_initialized()


def test_with_keys_for_clients(cluster: Machines, tmp_path: Path) -> None:
    (alice,) = make_keys(tmp_path / "keys", ["alice"])
    values = {"launcher": "ray", "ray_address": cluster.address, "host": "127.0.0.1"}
    config = fake_config(curve_dir=str(tmp_path / "keys"), **values)
    with BertServer(config) as server, BertClient(**ports_of(server), curve=alice) as client:
        np.testing.assert_array_equal(client.encode(TEXTS), EXPECTED)


@pytest.mark.parametrize("launcher", ["local", "ray"])
def test_a_worker_starts_where_the_model_folder_is_not(launcher: str, cluster: Machines, tmp_path: Path) -> None:
    model = shutil.copytree(str(TINY), tmp_path / "model")
    port, port_out = free_ports(2)
    values = {"model_dir": str(model), "cpu": True, "port": port, "port_out": port_out, "host": "127.0.0.1"}
    config = ServerConfig.from_mapping({**values, "launcher": launcher, "ray_address": cluster.address})
    with BertServer(config) as server, BertClient(**ports_of(server)) as client:
        before = client.encode(TEXTS)
        shutil.rmtree(model)
        (worker,) = workers(server)
        os.kill(worker["pid"], 9)
        wait_until(lambda: [(one["state"], one["restarts"]) for one in workers(server)] == [("ready", 1)])
        np.testing.assert_allclose(client.encode(TEXTS), before, rtol=0, atol=1e-5)


def test_a_request_under_way_is_finished_at_the_end(cluster: Machines) -> None:
    options = {"launcher": "ray", "ray_address": cluster.address, "host": "127.0.0.1"}
    with FakeCommand(**options) as server, ThreadPoolExecutor(1) as pool:
        with BertClient(**server.wait_until_ready().ports) as client:
            slow = [f"!slow 0.02 {number}" for number in range(300)]
            running = pool.submit(client.encode, slow)
            while client.server_status["queue"]["open_requests"] == 0:
                pass
            server.stop()
            np.testing.assert_array_equal(running.result(60), expected(slow))
        assert server.wait_for_end(60) == 0


def test_what_cannot_start_says_why(cluster: Machines, monkeypatch: pytest.MonkeyPatch) -> None:
    def start(**options: Any) -> None:
        with serving(cluster, **options):
            pass

    with pytest.raises(StartError, match=r"worker-0 \(waiting for Ray to find CPU=64\)"):
        start(num_worker=1, ray_resources=["CPU=64"], start_timeout=3)
    with serving(cluster, num_worker=3, min_worker=2, start_timeout=20) as (_, client):  # there is room for two
        np.testing.assert_array_equal(client.encode(TEXTS), EXPECTED)
    with pytest.raises(StartError, match=r"no Ray cluster can be joined at 127\.0\.0\.1:1 "):
        start(ray_address="127.0.0.1:1")
    with pytest.raises(ConfigError, match="the server must be part of the cluster"):
        start(ray_address="ray://127.0.0.1:10001")
    with monkeypatch.context() as without_ray:
        without_ray.setattr("bert_serving.server.config.find_spec", lambda name: None)
        with pytest.raises(ConfigError, match="-launcher ray needs ray: install it"):
            start()
    monkeypatch.setattr("bert_serving.server.launchers.ray.__version__", "9.9")
    with pytest.raises(StartError, match=r"has bert-serving-server 2\.0\.0, and this service is 9\.9"):
        start()


IMPATIENT = f"""
import runpy
from bert_serving.server.launchers import ray
ray._HEAD_TIMEOUT_S, ray._KNOCK_INTERVAL_S = 3.0, 0.2
runpy.run_path({str(SUPPORT / "run_fake_server.py")!r}, run_name="__main__")
"""


def test_without_the_head_it_ends_and_says_so() -> None:
    """In a process of its own, which Ray would end by itself after a minute."""
    port, port_out = free_ports(2)
    with ray_machines(head_cpus=1, others=0) as machines:
        values = {"port": port, "port_out": port_out, "launcher": "ray", "ray_address": machines.address}
        command = [sys.executable, "-c", IMPATIENT, json.dumps({**values, "host": "127.0.0.1"})]
        with Started(command, (port, port_out)) as server:
            with BertClient(**server.wait_until_ready().ports) as client:
                machines.head_node.kill_gcs_server()
                np.testing.assert_array_equal(client.encode(TEXTS), EXPECTED)  # its worker is still there
            assert server.wait_for_end(55) == 1
        machines.head_node.kill_all_processes(check_alive=False, allow_graceful=False)
        machines.head_node = None  # in order it would take half a minute
    assert "error: the head of the Ray cluster at" in server.last_line, server.log
