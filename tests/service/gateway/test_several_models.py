"""`bert-serving-gateway` before several services: each request goes to the model that it names."""

from __future__ import annotations

import json
import re
import socket
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import numpy as np
import openai
import pytest
from fake_engine import DIM, OTHER, expected, fingerprint_of
from gateway_command import GatewayCommand, address, write_models
from gateway_support import wait_until_ready
from ports import free_ports
from serving import Serve, fake_config, wait_until

from bert_serving.server import BertServer
from bert_serving.server.transport.curve import make_keys

TEXTS = ["First do it", "then do it right"]


@pytest.fixture(scope="module")
def two() -> Iterator[tuple[BertServer, BertServer]]:
    """Services with different models."""
    with BertServer(fake_config()) as one, BertServer(fake_config(model_dir=OTHER, pooling_layer=[-1])) as other:
        yield one, other


@pytest.fixture(scope="module")
def both(two: tuple[BertServer, BertServer]) -> Iterator[httpx.Client]:
    """A client of a gateway with both, each under a name of its own."""
    models = [f"{name}={address(server)}" for name, server in zip(("mini", "org/other"), two, strict=True)]
    with GatewayCommand("-model", models[0], "-model", models[1]) as gateway, gateway.client() as http:
        yield wait_until_ready(http)


def vectors(answer: httpx.Response) -> np.ndarray:
    assert answer.status_code == 200, answer.text
    content = answer.json()
    rows = content["results"] if "results" in content else [one["embedding"] for one in content["data"]]
    return np.array(rows, np.float32)


def test_a_request_goes_by_its_model(both: httpx.Client, two: tuple[BertServer, BertServer]) -> None:
    for name, server, sign in zip(("mini", "org/other"), two, (1, -1), strict=True):
        for answer in (
            both.post("/encode", json={"texts": TEXTS, "model": name}),
            both.post("/encode", json={"texts": TEXTS}, params={"model": name}),
            both.post("/v1/embeddings", json={"input": TEXTS, "model": name}),
            both.post("/v1/embeddings", json={"input": [*TEXTS, "x" * 100_000], "model": name}),  # aside, in a thread
        ):
            np.testing.assert_allclose(vectors(answer)[:2], sign * expected(TEXTS), rtol=1e-6)
            assert answer.headers["X-Fingerprint"] == fingerprint_of(server.config)
            assert answer.json().get("model", name) == name


def test_a_model_that_is_not_there_is_named_beside_those_that_are(both: httpx.Client) -> None:
    for path, field in (("/encode", "texts"), ("/v1/embeddings", "input")):
        answer = both.post(path, json={field: TEXTS, "model": "gpt-4"})
        error = answer.json()["error"]
        assert (answer.status_code, error["code"], error["param"]) == (404, "model_not_found", "model")
        assert error["message"] == "there is no model 'gpt-4' here: there is mini, org/other"
        answer = both.post(path, json={field: TEXTS})
        assert answer.status_code == 422
        assert answer.json()["error"]["message"].endswith("name one as model: mini, org/other")
        assert both.post(path, json={field: TEXTS, "model": 7}).status_code == 422
        assert both.post(path, content=b"{").status_code == 400
    for path in ("/v1/models/gpt-4", "/status/server?model=gpt-4", "/status/client?model=gpt-4", "/events?model=gpt-4"):
        assert both.get(path).status_code == 404, path
    assert both.get("/status/client").status_code == 422
    assert both.get("/status/server?model=mini&endpoint=1").json()["error"]["message"].endswith("there is 0")
    assert both.get("/status/server?model=mini&endpoint=x").status_code == 404


def test_the_root_takes_the_name_from_the_url(both: httpx.Client) -> None:
    body = {"inputs": TEXTS, "normalize": False}
    for name, sign in (("mini", 1), ("org/other", -1)):
        for answer in (both.post("/", json=body, params={"model": name}), both.post("/", json={**body, "model": name})):
            np.testing.assert_allclose(answer.json(), sign * expected(TEXTS), rtol=1e-6)
    assert both.post("/?model=gpt-4", json=body).status_code == 404
    assert both.post("/", json=body).json()["error"].endswith("name one as model: mini, org/other")


def test_the_official_client_of_openai_sees_all_models(both: httpx.Client, two: tuple[BertServer, BertServer]) -> None:
    with openai.OpenAI(base_url=f"{both.base_url}/v1", api_key="none", max_retries=0) as client:
        assert [model.id for model in client.models.list()] == ["mini", "org/other"]
        assert client.models.retrieve("org/other").id == "org/other"
        answer = client.embeddings.create(model="org/other", input=TEXTS)
        np.testing.assert_array_equal(np.array([item.embedding for item in answer.data], np.float32), -expected(TEXTS))
        with pytest.raises(openai.NotFoundError) as caught:
            client.embeddings.create(model="gpt-4", input=TEXTS)
        assert caught.value.code == "model_not_found"
    for shown, server in zip(both.get("/v1/models").json()["data"], two, strict=True):
        found = fingerprint_of(server.config)
        assert (shown["fingerprint"], shown["fingerprints"]) == (found, [found])


def test_who_expects_another_fingerprint_is_told(both: httpx.Client, two: tuple[BertServer, BertServer]) -> None:
    one, other = (fingerprint_of(server.config) for server in two)
    body = {"texts": TEXTS, "model": "mini"}
    assert both.post("/encode", json=body, headers={"X-Expect-Fingerprint": one}).status_code == 200
    answer = both.post("/encode", json=body, headers={"X-Expect-Fingerprint": other})
    assert answer.status_code == 409
    assert one in answer.json()["error"]["message"]
    assert other in answer.json()["error"]["message"]
    assert "X-Fingerprint" not in answer.headers
    assert both.post("/encode", json=body, headers={"X-Expect-Fingerprint": ""}).status_code == 422


def test_status_metrics_and_dashboard_tell_them_apart(both: httpx.Client, two: tuple[BertServer, BertServer]) -> None:
    both.post("/encode", json={"texts": TEXTS, "model": "mini"})
    found = both.get("/status/server").json()["models"]
    one, other = (fingerprint_of(server.config) for server in two)
    assert found == {
        "mini": [{"endpoint": 0, "weight": 1, "fingerprint": one, "trouble": None}],
        "org/other": [{"endpoint": 0, "weight": 1, "fingerprint": other, "trouble": None}],
    }
    for name, server in zip(("mini", "org/other"), two, strict=True):
        assert both.get("/status/server", params={"model": name}).json()["model_dir"] == server.config.model_dir
        assert both.get("/status/client", params={"model": name}).json()["port"] == server.config.port
        with both.stream("GET", "/events", params={"model": name}) as answer:
            event = json.loads(next(answer.iter_lines()).removeprefix("data: "))
        assert (event["model"], event["models"]) == (name, ["mini", "org/other"])
        assert event["status"]["model_dir"] == server.config.model_dir
    text = both.get("/metrics").text
    for name in ("mini", "org/other"):
        assert f'bert_serving_ready{{endpoint="0",model="{name}"}} 1.0' in text
        assert f'bert_serving_process_up{{device="cpu",endpoint="0",model="{name}",process="worker-0"}} 1.0' in text
    families = re.findall(r"^# TYPE (\S+)", text, re.MULTILINE)
    assert len(families) == len(set(families))
    asked = re.findall(
        r'^bert_serving_http_service_requests_total\{endpoint="0",model="(\S+)"\} (\S+)', text, re.MULTILINE
    )
    assert {name for name, _ in asked} == {"mini", "org/other"}
    assert all(float(number) > 0 for _, number in asked)


def test_it_is_ready_when_each_model_has_a_service(serve: Serve, two: tuple[BertServer, BertServer]) -> None:
    third = serve(model_dir=OTHER)
    models = [f"a={address(two[0])}", f"a={address(third)}", f"b={address(third)}"]
    with GatewayCommand("-model", *models) as gateway, gateway.client() as http:
        wait_until_ready(http)
        fingerprints = Counter(
            http.post("/encode", json={"texts": ["x"], "model": "a"}).headers["X-Fingerprint"] for _ in range(10)
        )
        assert list(fingerprints.values()) == [5, 5]
        third.close()
        wait_until_ready(http, 503)
        assert http.get("/health/ready").json()["error"]["message"].startswith("b: ")
        assert http.get("/health/live").status_code == 200  # another start would not help
        assert http.post("/encode", json={"texts": ["x"], "model": "a"}).status_code == 200
        gateway.stop()
        assert gateway.wait_for_end() == 0


def test_open_routes_show_no_addresses(serve: Serve) -> None:
    server, (port,) = serve(), free_ports(1)
    nobody = f"127.0.0.1:{port}:{port + 1}"
    with GatewayCommand("-model", f"a={address(server)}", f"b={nobody}") as gateway, gateway.client() as http:
        wait_until(lambda: http.get("/v1/models/a").json()["fingerprint"] != "")
        shown = [http.get(path) for path in ("/health/ready", "/health/live", "/metrics", "/v1/models")]
        shown += [http.get("/status/server"), http.post("/encode", json={"texts": ["a"], "model": "b"})]
        for answer in shown:
            for own in ("127.0.0.1", *(f":{one}" for one in (server.config.port, server.config.port_out, port))):
                assert own not in answer.text, answer.text


def test_a_model_that_is_busy_holds_up_no_other(two: tuple[BertServer, BertServer]) -> None:
    models = [f"{name}={address(server)}" for name, server in zip("ab", two, strict=True)]
    with (
        GatewayCommand("-model", *models, "-http_max_connect", "1") as gateway,
        gateway.client() as http,
        ThreadPoolExecutor(2) as pool,
    ):
        wait_until_ready(http)
        slow = [pool.submit(http.post, "/encode", json={"texts": ["!slow 2 a"], "model": "a"}) for _ in range(2)]
        wait_until(lambda: http.get("/status/client?model=a").json()["num_pending_request"] == 1)
        assert http.post("/encode", json={"texts": ["b"], "model": "b"}).status_code == 200
        assert not any(one.done() for one in slow)
        assert [one.result().status_code for one in slow] == [200, 200]


def test_one_model_takes_any_name(two: tuple[BertServer, BertServer]) -> None:
    with GatewayCommand("-model", f"mini={address(two[0])}") as gateway, gateway.client() as http:
        wait_until_ready(http)
        for model in ({}, {"model": "mini"}, {"model": "text-embedding-3-small"}):
            assert http.post("/encode", json={"texts": TEXTS, **model}).status_code == 200
            answer = http.post("/v1/embeddings", json={"input": TEXTS, **model}).json()
            assert answer["model"] == model.get("model", "mini")
        assert http.get("/status/server").json()["model_dir"] == "fake"
        assert http.get("/v1/models/gpt-4").status_code == 404


def test_a_model_with_token_vectors_says_so(serve: Serve) -> None:
    server = serve(pooling_strategy="NONE", max_seq_len=5)
    with GatewayCommand("-model", f"tokens={address(server)}") as gateway, gateway.client() as http:
        wait_until_ready(http)
        assert vectors(http.post("/encode", json={"texts": ["abc"]})).shape == (1, 5, DIM)
        answer = http.post("/v1/embeddings", json={"input": "abc"})
        assert (answer.status_code, "use /encode" in answer.text) == (422, True)


def test_a_service_with_keys(serve: Serve, tmp_path: Path) -> None:
    (own,) = make_keys(tmp_path / "keys", ["gateway"])
    server = serve(curve_dir=str(tmp_path / "keys"))
    with GatewayCommand("-model", f"mini={address(server)}", "-curve", str(own)) as gateway, gateway.client() as http:
        wait_until_ready(http)
        np.testing.assert_allclose(vectors(http.post("/encode", json={"texts": TEXTS})), expected(TEXTS), rtol=1e-6)
    write_models(
        tmp_path / "models.toml", {"mini": [{"address": address(server), "curve": "keys/for_clients/gateway"}]}
    )
    with GatewayCommand("-models", str(tmp_path / "models.toml")) as gateway, gateway.client() as http:
        wait_until_ready(http)
        assert http.post("/encode", json={"texts": TEXTS}).status_code == 200


def test_it_has_the_options_of_http(two: tuple[BertServer, BertServer]) -> None:
    with (
        GatewayCommand(
            "-model", f"mini={address(two[0])}", "-http_api_key", "sesame", "-http_max_body", "1"
        ) as gateway,
        gateway.client() as http,
    ):
        wait_until_ready(http)
        assert http.get("/v1/models").status_code == 401
        http.headers["Authorization"] = "Bearer sesame"
        assert http.get("/v1/models").status_code == 200
        assert http.post("/encode", json={"texts": ["x" * (1 << 20)]}).status_code == 413


@pytest.mark.parametrize(
    ("arguments", "status", "says"),
    [
        ([], 2, "name the services: either -model NAME=HOST:PORT:PORT_OUT, or -models FILE"),
        (["-model", "a=b", "-models", "c"], 2, "either -model"),
        (["-model", "mini"], 2, "-model must be NAME=HOST:PORT:PORT_OUT"),
        (
            ["-models", "/nowhere/models.toml"],
            2,
            "-models /nowhere/models.toml cannot be read: No such file or directory",
        ),
        (["-models", "/dev/zero"], 2, "-models /dev/zero cannot be read: it is no file"),
        (["-model", "a=b", "-curve", "/nowhere"], 2, "a at b:5555:5556: the keys cannot be used: /nowhere/client.key"),
        (["-model", "a=b", "-http_api_key", " "], 2, "-http_api_key is empty"),
        (["-models", "c", "-curve", "/nowhere"], 2, "-curve is for -model"),
        (["-model", "a=b", "-num_worker", "2"], 2, "unrecognized arguments: -num_worker 2"),
    ],
)
def test_a_start_that_cannot_be_has_its_reason_on_the_last_line(arguments: list[str], status: int, says: str) -> None:
    with GatewayCommand(*arguments) as gateway:
        assert gateway.wait_for_end() == status
    assert gateway.last_line.startswith("bert-serving-gateway: error: ")
    assert says in gateway.last_line


def test_a_port_that_is_taken(two: tuple[BertServer, BertServer]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with GatewayCommand("-model", f"a={address(two[0])}", http_port=port) as gateway:
            assert gateway.wait_for_end() == 1
    assert gateway.last_line == (
        f"bert-serving-gateway: error: port {port} (-http_port) is in use: stop what listens there or choose another"
    )
