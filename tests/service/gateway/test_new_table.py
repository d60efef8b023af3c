"""`bert-serving-gateway` reads its file again on SIGHUP, and ends by SIGTERM: neither loses a request."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from fake_engine import OTHER, expected, fingerprint_of
from gateway_command import GatewayCommand, address, write_models
from gateway_support import wait_until_ready
from model_load import ASKING, Load
from serving import fake_config, wait_until

from bert_serving.server import BertServer

DONE = "the models are now"


@pytest.fixture(scope="module")
def old() -> Iterator[BertServer]:
    with BertServer(fake_config(num_worker=2)) as server:
        yield server


@pytest.fixture(scope="module")
def new() -> Iterator[BertServer]:
    with BertServer(fake_config(model_dir=OTHER, num_worker=2)) as server:
        yield server


def both(old: BertServer, new: BertServer, old_weight: float, new_weight: float) -> dict[str, Any]:
    places = ((old, old_weight), (new, new_weight))
    return {"mini": [{"address": address(server), "weight": weight} for server, weight in places]}


def test_weights_move_traffic_and_no_request_is_lost(old: BertServer, new: BertServer, tmp_path: Path) -> None:
    file = tmp_path / "models.toml"
    write_models(file, {"mini": [{"address": address(old)}]})
    one, other = fingerprint_of(old.config), fingerprint_of(new.config)
    with GatewayCommand("-models", str(file)) as gateway, gateway.client() as http:
        wait_until_ready(http)
        load = Load(http, "mini")
        with load.running():
            assert load.wait_for(40).keys() == {one}
            for models, shares in (
                (both(old, new, 1, 0), {one: 1.0}),
                (both(old, new, 3, 1), {one: 0.75, other: 0.25}),
                (both(old, new, 1, 3), {one: 0.25, other: 0.75}),
                (both(old, new, 0, 1), {other: 1.0}),
                ({"mini": [{"address": address(new)}]}, {other: 1.0}),
                ({"mini": [{"address": address(old)}]}, {one: 1.0}),  # all at once: it waits for the one that comes
            ):
                write_models(file, models)
                gateway.stop(signal.SIGHUP)
                gateway.wait_for_line(DONE)
                load.wait_for(2 * ASKING)  # those that were under way
                found = load.wait_for(80)
                assert found.keys() == shares.keys()
                for fingerprint, share in shares.items():
                    assert abs(found[fingerprint] / sum(found.values()) - share) < 0.1, (models, found)
        gateway.stop()
        assert gateway.wait_for_end() == 0


def test_who_expects_a_fingerprint_never_gets_anothers_vectors(
    old: BertServer, new: BertServer, tmp_path: Path
) -> None:
    file = tmp_path / "models.toml"
    write_models(file, both(old, new, 1, 9))
    one, other = fingerprint_of(old.config), fingerprint_of(new.config)
    with GatewayCommand("-models", str(file)) as gateway, gateway.client() as http:
        wait_until_ready(http)
        wait_until(lambda: len(http.get("/v1/models").json()["data"][0]["fingerprints"]) == 2)
        shown = http.get("/v1/models/mini").json()
        assert (shown["fingerprint"], shown["fingerprints"]) == (other, [other, one])
        load = Load(http, "mini", expect=one)
        with load.running():
            assert load.wait_for(60).keys() == {one}
            write_models(file, both(old, new, 1, 99))
            gateway.stop(signal.SIGHUP)
            gateway.wait_for_line(DONE)
            assert load.wait_for(60).keys() == {one}
        write_models(file, both(old, new, 0, 1))
        gateway.stop(signal.SIGHUP)
        gateway.wait_for_line(DONE)
        answer = http.post("/encode", json={"texts": ["a"]}, headers={"X-Expect-Fingerprint": one})
        assert answer.status_code == 409
        assert one in answer.text
        assert other in answer.text


def test_a_request_under_way_is_finished_by_the_service_that_leaves(
    old: BertServer, new: BertServer, tmp_path: Path
) -> None:
    file = tmp_path / "models.toml"
    write_models(file, {"mini": [{"address": address(old)}]})
    with GatewayCommand("-models", str(file)) as gateway, gateway.client() as http, ThreadPoolExecutor(1) as pool:
        wait_until_ready(http)
        slow = pool.submit(http.post, "/encode", json={"texts": ["!slow 3 a"]})
        wait_until(lambda: http.get("/status/client").json()["num_pending_request"] == 1)
        write_models(file, {"mini": [{"address": address(new)}]})
        gateway.stop(signal.SIGHUP)
        gateway.wait_for_line(DONE)
        quick = http.post("/encode", json={"texts": ["b"]})
        assert quick.headers["X-Fingerprint"] == fingerprint_of(new.config)
        assert not slow.done()
        assert slow.result().headers["X-Fingerprint"] == fingerprint_of(old.config)
        np.testing.assert_allclose(slow.result().json()["results"], expected(["!slow 3 a"]), rtol=1e-6)


@pytest.mark.parametrize(
    "content",
    [
        "[mini",
        "",
        "[mini]\n[[mini.endpoints]]\naddress = 'a:b'",
        "[mini]\nendpoints = [{address='a', curve='/nowhere'}]",
    ],
    ids=["no TOML", "empty", "address", "keys"],
)
def test_a_broken_file_is_logged_and_the_old_table_stays(old: BertServer, tmp_path: Path, content: str) -> None:
    file = tmp_path / "models.toml"
    write_models(file, {"mini": [{"address": address(old)}]})
    with GatewayCommand("-models", str(file)) as gateway, gateway.client() as http:
        wait_until_ready(http)
        file.write_text(content)
        gateway.stop(signal.SIGHUP)
        line = gateway.wait_for_line("the models stay as they are")
        assert str(file) in line or "/nowhere" in line
        assert http.post("/encode", json={"texts": ["a"]}).status_code == 200
        file.unlink()
        gateway.stop(signal.SIGHUP)
        gateway.wait_for_line("cannot be read: No such file")
        write_models(file, {"other name": [{"address": address(old)}]})
        gateway.stop(signal.SIGHUP)
        gateway.wait_for_line(DONE)
        assert [model["id"] for model in http.get("/v1/models").json()["data"]] == ["other name"]


def test_without_a_file_sighup_changes_nothing(old: BertServer) -> None:
    with GatewayCommand("-model", f"mini={address(old)}") as gateway, gateway.client() as http:
        wait_until_ready(http)
        gateway.stop(signal.SIGHUP)
        gateway.wait_for_line(DONE)
        assert http.post("/encode", json={"texts": ["a"]}).status_code == 200


@contextmanager
def busy_gateway(
    old: BertServer, seconds: int
) -> Iterator[tuple[GatewayCommand, httpx.Client, Future[httpx.Response]]]:
    """A gateway that waits so long for the answer to a request."""
    with (
        GatewayCommand("-model", f"mini={address(old)}") as gateway,
        gateway.client() as http,
        ThreadPoolExecutor(1) as pool,
    ):
        wait_until_ready(http)
        slow = pool.submit(http.post, "/encode", json={"texts": [f"!slow {seconds} a"]})
        wait_until(lambda: http.get("/status/client").json()["num_pending_request"] == 1)
        yield gateway, http, slow


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_with_0_when_what_it_accepted_is_answered(old: BertServer, number: int) -> None:
    with busy_gateway(old, 2) as (gateway, http, slow):
        gateway.stop(number)
        wait_until_ready(http, 503)
        refused = http.post("/encode", json={"texts": ["b"]})
        assert (refused.status_code, int(refused.headers["Retry-After"]) > 0) == (503, True)
        assert slow.result().status_code == 200
        assert gateway.wait_for_end() == 0


def test_a_second_signal_ends_it_at_once(old: BertServer) -> None:
    with busy_gateway(old, 6) as (gateway, _, slow):
        gateway.stop()
        gateway.wait_for_line("stopping")
        gateway.stop()
        assert gateway.wait_for_end() == 0
        assert slow.result().status_code == 503
