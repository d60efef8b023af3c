"""Health, metrics, limits and the end: what operators and probes see."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from unittest import mock

import httpx
import pytest
import uvicorn
from gateway_support import POLL_S, Browse, wait_until_ready
from ports import free_ports
from serving import Serve, fake_config
from uvicorn.server import ServerState

from bert_serving.server import BertServer, ConfigError, StartError
from bert_serving.server.gateway import protocol
from bert_serving.server.gateway.guard import Bounded
from bert_serving.server.gateway.held import Bodies
from bert_serving.server.gateway.history import INTERVAL_S, History
from bert_serving.server.gateway.metric_table import METRICS
from bert_serving.server.gateway.problems import Problem
from bert_serving.server.gateway.slots import Slots
from bert_serving.server.gateway.together import until_one_ends
from bert_serving.server.transport.curve import make_keys


def test_it_is_live_before_it_is_ready(tmp_path: Path) -> None:
    (port,) = free_ports(1)
    go = tmp_path / "go"
    with BertServerStarted(model_dir=f"wait-for {go}", http_port=port) as server:
        http = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60)
        while True:
            try:
                assert http.get("/health/live").status_code == 200
                break
            except httpx.ConnectError:
                time.sleep(POLL_S)
        assert "loading" in http.get("/health/ready").json()["error"]["message"]
        answer = http.post("/encode", json={"texts": ["a"]})
        assert answer.status_code == 503
        assert int(answer.headers["Retry-After"]) > 0
        go.touch()
        wait_until_ready(http)
        assert http.post("/encode", json={"texts": ["a"]}).status_code == 200
        http.close()
        server.close()


class BertServerStarted(BertServer):
    """Started, and not waited for."""

    def __init__(self, **options: Any) -> None:
        super().__init__(fake_config(**options))

    def __enter__(self) -> BertServerStarted:
        self.start()
        return self


def worker_pid(http: httpx.Client, name: str) -> int:
    (pid,) = (shown["pid"] for shown in http.get("/status/server").json()["processes"] if shown["name"] == name)
    return int(pid)


def test_a_worker_that_stops_turns_ready_red_until_it_is_replaced(browse: Browse) -> None:
    http = browse(num_worker=2, heartbeat_timeout=15)
    stopped = worker_pid(http, "worker-1")
    os.kill(stopped, signal.SIGSTOP)
    wait_until_ready(http, 503)
    assert worker_pid(http, "worker-1") == stopped, "it was replaced before anybody was told"
    assert "worker-1" in http.get("/health/ready").json()["error"]["message"]
    with http.stream("GET", "/events") as answer:
        event = json.loads(next(answer.iter_lines()).removeprefix("data: "))
    assert event["trouble"].startswith("worker-1")
    assert event["http"]["errors"] == 0, "a health check counts as an error"
    wait_until_ready(http)
    restarts = {process["name"]: process["restarts"] for process in http.get("/status/server").json()["processes"]}
    assert restarts == {"ventilator": 0, "sink": 0, "gateway": 0, "worker-0": 0, "worker-1": 1}


def test_as_many_workers_as_are_needed_are_enough(browse: Browse) -> None:
    http = browse(num_worker=2, min_worker=1)

    def second() -> Any:
        processes = http.get("/status/server").json()["processes"]
        return next(process for process in processes if process["name"] == "worker-1")

    os.kill(second()["pid"], signal.SIGKILL)
    while second()["state"] == "ready" and not second()["restarts"]:
        pass
    while second()["state"] != "ready":
        assert http.get("/health/ready").status_code == 200
    assert second()["restarts"] == 1


def test_a_worker_that_comes_with_the_load_does_not_turn_ready_red(browse: Browse) -> None:
    http = browse(num_worker=1, max_worker=2, scale_up_wait=1, http_max_connect=20)
    texts = [f"!slow 0.02 {number}" for number in range(400)]

    def second() -> list[str]:
        processes = http.get("/status/server").json()["processes"]
        return [process["state"] for process in processes if process["name"] == "worker-1"]

    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(http.post, "/encode", json={"texts": texts})
        while second() != ["ready"]:
            assert http.get("/health/ready").status_code == 200
        assert running.result().status_code == 200


def test_a_gateway_that_dies_comes_back(browse: Browse) -> None:
    http = browse()
    processes = http.get("/status/server").json()["processes"]
    os.kill(next(process["pid"] for process in processes if process["name"] == "gateway"), signal.SIGKILL)
    while True:
        try:
            if http.get("/health/ready").status_code == 200:
                break
        except httpx.TransportError:
            time.sleep(POLL_S)
    assert http.post("/encode", json={"texts": ["a"]}).status_code == 200


def test_metrics_are_what_prometheus_reads(browse: Browse, tmp_path: Path) -> None:
    http = browse()
    http.post("/encode", json={"texts": ["a", "b"]})
    wanted = 'bert_serving_worker_batch_rows_total{worker="worker-0"} 2.0'
    while wanted not in (text := http.get("/metrics").text):
        time.sleep(POLL_S)
    assert 'bert_serving_http_requests_total{route="/encode",status="200"} 1.0' in text
    assert "bert_serving_ready 1.0" in text
    assert "bert_serving_active_clients 0.0" in text, "the gateway counts as a client"
    assert "_created" not in text
    assert 'bert_serving_queue_rows{class="bulk"} 0.0' in text
    for stage in ("queue", "tokenize", "compute"):
        assert f'bert_serving_request_stage_seconds_count{{stage="{stage}"}} 1.0' in text
    assert "bert_serving_request_seconds_count 1.0" in text
    assert 'bert_serving_build_info{fingerprint="' in text
    names = re.findall(r"^# TYPE (bert_serving_\w+)", text, re.MULTILINE)
    only_elsewhere = {"http_service_requests", "http_key_texts", "http_key_tokens"}
    assert sorted(names) == sorted(one.full_name for name, one in METRICS.items() if name not in only_elsewhere)
    if promtool := shutil.which("promtool"):
        checked = subprocess.run([promtool, "check", "metrics"], input=text, capture_output=True, text=True)
        assert checked.returncode == 0, checked.stderr
        assert not checked.stdout
        assert not checked.stderr
    if prometheus := shutil.which("prometheus"):
        assert scraped(prometheus, str(http.base_url.port), tmp_path, "bert_serving_ready") == "1"


def scraped(prometheus: str, port: str, folder: Path, query: str) -> str:
    """What a Prometheus of its own says after it has scraped."""
    (own,) = free_ports(1)
    config = folder / "prometheus.yml"
    target = f"[{{targets: ['127.0.0.1:{port}']}}]"
    config.write_text(f"scrape_configs: [{{job_name: bert, scrape_interval: 1s, static_configs: {target}}}]\n")
    command = [prometheus, f"--config.file={config}", f"--storage.tsdb.path={folder / 'data'}"]
    process = subprocess.Popen([*command, f"--web.listen-address=127.0.0.1:{own}"], stderr=subprocess.DEVNULL)
    try:
        while True:
            try:
                found = httpx.get(f"http://127.0.0.1:{own}/api/v1/query", params={"query": query}).json()
                if found["data"]["result"]:
                    return str(found["data"]["result"][0]["value"][1])
            except (httpx.TransportError, ValueError, KeyError):
                pass
            time.sleep(POLL_S)
    finally:
        process.terminate()
        process.wait(30)


def test_five_hundred_at_once_are_served_or_told_to_come_again(browse: Browse) -> None:
    http = browse(http_max_connect=2)
    for _ in range(1000):
        assert http.post("/encode", content=b"{").status_code == 400
    many = httpx.Client(base_url=http.base_url, timeout=60, limits=httpx.Limits(max_connections=500))
    worker = worker_pid(http, "worker-0")
    os.kill(worker, signal.SIGSTOP)  # so that they pile up, however slowly they come

    def ask(_: int) -> int:
        answer = many.post("/encode", json={"texts": ["a"]})
        if answer.status_code == 429:
            os.kill(worker, signal.SIGCONT)
            assert int(answer.headers["Retry-After"]) >= 1
        return answer.status_code

    with many, ThreadPoolExecutor(500) as pool:
        statuses = set(pool.map(ask, range(500)))
    assert statuses == {200, 429}  # 2 at work and 200 waiting are the most
    assert http.post("/encode", json={"texts": ["a"]}).status_code == 200


def test_what_takes_too_long_is_given_up(browse: Browse) -> None:
    http = browse(http_timeout=1)
    assert http.post("/encode", json={"texts": ["!slow 0.3 a", "!slow 0.3 b"] * 10}).status_code == 504
    assert http.post("/encode", json={"texts": ["a"]}).status_code == 200


class FakeLoop:
    """Timers that go off when the test says so."""

    def __init__(self) -> None:
        self.timers: list[Any] = []

    def time(self) -> float:
        return 0.0

    def call_later(self, delay_s: float, call: Any) -> Any:
        self.timers.append(Timer(call))
        return self.timers[-1]

    def let_time_pass(self) -> None:
        for timer in self.timers:
            if not timer.is_cancelled:
                timer.call()


class Timer:
    def __init__(self, call: Any) -> None:
        self.call = call
        self.is_cancelled = False

    def cancel(self) -> None:
        self.is_cancelled = True


@pytest.mark.parametrize(
    ("heads", "is_hung_up_on"),
    [([], True), ([b"GET / HT"], True), ([b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"], False)],
    ids=["nothing", "half a head", "a head"],
)
async def test_who_sends_no_whole_head_is_hung_up_on(heads: list[bytes], is_hung_up_on: bool) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await asyncio.Event().wait()

    config = uvicorn.Config(app, http=protocol.PatientProtocol, log_config=None)
    config.load()
    own = FakeLoop()
    transport = mock.Mock(spec=asyncio.Transport)
    transport.get_extra_info.return_value = None
    connection = protocol.PatientProtocol(config, ServerState(), {})
    connection.loop, real = own, connection.loop  # type: ignore[assignment]
    connection.connection_made(transport)
    connection.loop = real
    for data in heads:
        connection.data_received(data)
    own.let_time_pass()
    assert transport.close.called is is_hung_up_on
    for task in list(connection.tasks):
        task.cancel()


async def test_a_body_that_drips_in_is_given_up_as_a_whole() -> None:
    async def drip() -> Any:
        await asyncio.sleep(0.02)
        return {"type": "http.request", "body": b"x", "more_body": True}

    async def read_all() -> None:
        receive = Bounded(drip, max_body=1 << 20, bodies=Bodies(1 << 20), timeout_s=0.2)
        while (await receive())["more_body"]:
            pass

    with pytest.raises(Problem, match=r"the body did not come within 0\.2 s") as caught:
        await asyncio.wait_for(read_all(), 10)
    assert caught.value.status == 408


async def test_time_spent_in_line_is_not_given_again() -> None:
    slots = Slots(1)
    async with slots.take(10) as left_s:
        assert 9 < left_s <= 10

    async def wait_in_line() -> float:
        async with slots.take(10) as left_s:
            return left_s

    async with slots.take(10):
        waiting = asyncio.create_task(wait_in_line())
        await asyncio.sleep(0.3)
    assert await waiting < 9.75


async def test_the_gateway_ends_when_one_of_its_works_fails() -> None:
    is_cancelled = asyncio.Event()

    async def for_ever() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            is_cancelled.set()

    async def fail() -> None:
        await asyncio.sleep(0)
        raise OSError("broken")

    with pytest.raises(OSError, match="broken"):
        await until_one_ends(for_ever(), fail())
    assert is_cancelled.is_set()


def test_who_sends_slowly_holds_no_slot(browse: Browse) -> None:
    http = browse(http_max_connect=1)
    port = int(http.base_url.port or 0)
    slow = [socket.create_connection(("127.0.0.1", port)) for _ in range(50)]
    for sock in slow:
        sock.sendall(b"POST /encode HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n{")
    assert http.post("/encode", json={"texts": ["a"]}).status_code == 200  # none of them holds a slot
    for sock in slow:
        sock.close()


def test_at_the_end_requests_are_finished_and_new_ones_turned_away(serve: Serve) -> None:
    (port,) = free_ports(1)
    server = serve(http_port=port, max_batch_size=1)
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as http, ThreadPoolExecutor(1) as pool:
        wait_until_ready(http)
        slow = pool.submit(http.post, "/encode", json={"texts": [f"!slow 0.1 {row}" for row in range(40)]})
        while not http.get("/status/server").json()["queue"]["open_requests"]:
            pass
        server.stop()
        wait_until_ready(http, 503)
        assert http.post("/encode", json={"texts": ["late"]}).status_code == 503
        assert slow.result().status_code == 200
    server.join(30)
    assert not server.is_alive()


def test_with_keys_the_gateway_has_its_own(browse: Browse, tmp_path: Path) -> None:
    make_keys(tmp_path / "keys", [])
    http = browse(curve_dir=str(tmp_path / "keys"))
    assert http.post("/encode", json={"texts": ["a"]}).status_code == 200


def test_a_port_in_use_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        server = BertServer(fake_config(http_port=port, http_host="127.0.0.1"))
        with pytest.raises(StartError, match=rf"port {port} \(-http_port\) is in use"), server:
            pass


def test_ports_must_differ() -> None:
    with pytest.raises(ConfigError, match="they must differ"):
        fake_config(http_port=7000, port=7000)


def test_history_has_rates_out_of_counts() -> None:
    def status(rows: int, answered: int) -> dict[str, Any]:
        worker = {
            "name": "worker-0",
            "batches": rows // 10,
            "batch_rows": rows,
            "tokens": 8 * rows,
            "padded_tokens": 10 * rows,
        }
        queue = {"waiting_urgent_rows": 1, "waiting_bulk_rows": 2, "open_requests": 3, "wait_s": 0.5}
        latency = {"answered": answered, "p50_ms": 1.0, "p95_ms": 2.0, "p99_ms": 3.0}
        latency |= {"refused": 3 * answered, "refused_by_http": answered}
        processes = [{"name": "worker-0", "restarts": 0 if rows < 1000 else 1}]
        return {"workers": [worker], "queue": queue, "latency": latency, "processes": processes}

    history = History()
    for second in range(2 * int(INTERVAL_S) + 1):
        history.add(status(100 * second, second), second, time_s=float(second))
    first, second_sample = history.samples
    assert first["sentences_per_s"] == second_sample["sentences_per_s"] == 100
    assert first["tokens_per_s"] == 800
    assert (first["http_errors_per_s"], first["zmq_errors_per_s"]) == (1, 2)
    assert (first["open_requests"], first["wait_s"], first["p50_ms"]) == (3, 0.5, 1.0)
    assert (first["restarted"], second_sample["restarted"]) == ([], ["worker-0"])
    assert first["rows_per_batch"] == 10
    assert first["padding_percent"] == pytest.approx(20)
    history.add(status(0, 0), 0, time_s=100.0)  # all began anew
    assert history.samples[-1]["sentences_per_s"] == 0
    assert history.samples[-1]["p50_ms"] is None


def test_a_worker_that_begins_anew_hides_nothing_of_the_others() -> None:
    queue = {"waiting_urgent_rows": 0, "waiting_bulk_rows": 0, "open_requests": 0, "wait_s": 0.0}

    def status(*rows: int) -> dict[str, Any]:
        workers = [
            {"name": f"worker-{number}", "batches": one, "batch_rows": one, "tokens": one, "padded_tokens": one}
            for number, one in enumerate(rows)
        ]
        return {"workers": workers, "queue": queue, "latency": {"answered": 0, "refused": 0}}

    history = History()
    for turn, rows in enumerate([(0, 1000), (100, 1000), (200, 50)]):
        history.add(status(*rows), 0, time_s=turn * INTERVAL_S)
    assert [sample["sentences_per_s"] * INTERVAL_S for sample in history.samples] == [100, 150]
