"""Children die, hang and stop at the wrong moment: every accepted request is answered all the same."""

from __future__ import annotations

import itertools
import os
import random
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command import FakeCommand
from fake_engine import expected
from family import Family
from ports import free_ports
from proxy import Proxy
from raw_client import RawClient
from serving import Connect, Serve, fake_config, open_requests, pids, ports_of, processes

from bert_serving.client import BertClient, ConnectFailed, RowFailed, ServerStopping
from bert_serving.client.wire import RowsReply, decode_reply, encode_request
from bert_serving.server import BertServer, ServiceError
from bert_serving.server.service import restarts

SLOW = [f"!slow 0.01 {number}" for number in range(200)]


@contextmanager
def under_way(server: BertServer, connect: Connect, texts: list[str]) -> Iterator[Future[Any]]:
    """A call that the server has accepted and not answered yet."""
    client = connect(server)
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(client.encode, texts)
        while open_requests(server) == 0:
            pass
        yield running


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP], ids=lambda number: number.name)
@pytest.mark.parametrize(("num_worker", "victim"), [(2, "worker-1"), (1, "worker-0"), (2, "sink"), (2, "ventilator")])
def test_a_child_is_replaced_and_its_work_done_again(
    serve: Serve, connect: Connect, num_worker: int, victim: str, number: signal.Signals
) -> None:
    server = serve(num_worker=num_worker, max_batch_size=4, heartbeat_timeout=4)
    with under_way(server, connect, SLOW) as running:
        before = pids(server)[victim]
        os.kill(before, number)
        np.testing.assert_array_equal(running.result(60), expected(SLOW))
    np.testing.assert_array_equal(connect(server).encode(["again"]), expected(["again"]))
    while not (shown := next(process for process in processes(server) if process["name"] == victim))["restarts"]:
        pass
    assert shown["restarts"] == 1
    assert shown["pid"] != before


def test_a_text_that_ends_its_worker_fails_alone(serve: Serve, connect: Connect) -> None:
    server = serve(num_worker=2, max_batch_size=16, priority_batch_size=0)
    texts = [f"harmless {number}" for number in range(20)]
    texts[13] = "!die"
    with ThreadPoolExecutor(5) as pool:
        bad = pool.submit(connect(server).encode, texts)
        good = [pool.submit(connect(server).encode, SLOW[:40]) for _ in range(4)]
        with pytest.raises(RowFailed, match=r"text 13 .* every worker that started on it ended"):
            bad.result(120)
        for running in good:
            np.testing.assert_array_equal(running.result(120), expected(SLOW[:40]))
    np.testing.assert_array_equal(connect(server).encode(["again"]), expected(["again"]))


@pytest.mark.parametrize("victim", ["worker-0", "sink"])
def test_what_cannot_start_again_is_given_up_with_its_reason(
    victim: str, family: Family, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(restarts, "MOST_IN_A_ROW", 0 if victim == "sink" else 2)
    broken = tmp_path / "broken"
    with BertServer(fake_config(model_dir=f"load-until {broken}")) as server:
        broken.touch()
        os.kill(pids(server)[victim], signal.SIGKILL)
        server.join(60)
        assert not server.is_alive()
        assert isinstance(server.failure, ServiceError)
        assert f"{victim} ended too many times in a row: " in str(server.failure)
        assert ("SIGKILL" if victim == "sink" else "cannot be loaded any more") in str(server.failure)
    assert family.members() == []


def test_children_killed_at_random_lose_nothing(serve: Serve, connect: Connect) -> None:
    server = serve(num_worker=2, max_batch_size=8)
    rng = random.Random(7)
    batches = [[f"!slow 0.001 {call} {row}" for row in range(rng.randint(1, 60))] for call in range(120)]
    done = threading.Event()

    def kill_at_random() -> None:
        while not done.wait(0.7):
            with suppress(ProcessLookupError):  # the last blow took effect only now
                os.kill(rng.choice(sorted(pids(server).values())), signal.SIGKILL)

    with ThreadPoolExecutor(5) as pool:
        killer = pool.submit(kill_at_random)
        clients = [connect(server) for _ in range(4)]
        answers = [pool.submit(clients[call % 4].encode, texts) for call, texts in enumerate(batches)]
        for texts, answer in zip(batches, answers, strict=True):
            np.testing.assert_array_equal(answer.result(120), expected(texts))
        done.set()
        killer.result(10)


def test_a_request_that_comes_again_while_it_is_open_is_computed_once(serve: Serve) -> None:
    server = serve()
    request = encode_request(b"me", 7, ["!slow 0.3 once"])
    with RawClient(server, b"me") as raw:
        raw.push.send_multipart(request)
        reply = raw.ask(*request)
        assert isinstance(reply, RowsReply)
        other = raw.ask(*encode_request(b"me", 7, ["same id, other text"]))
        np.testing.assert_array_equal(getattr(other, "array", None), expected(["same id, other text"]))
        assert not raw.sub.poll(0)


def test_a_call_survives_a_cut_of_the_network(serve: Serve) -> None:
    server = serve(max_batch_size=4)
    with closing(Proxy(server.config.port)) as requests, closing(Proxy(server.config.port_out)) as results:
        ports: dict[str, Any] = {"port": requests.port, "port_out": results.port}
        with BertClient(**ports, connect_timeout=60_000) as client, ThreadPoolExecutor(1) as pool:
            client.encode(["before"])
            running = pool.submit(client.encode, SLOW)
            while open_requests(server) == 0:
                pass
            requests.cut()
            results.cut()
            while open_requests(server) > 0:  # the answer goes into the void
                pass
            requests.restore()
            results.restore()
            np.testing.assert_array_equal(running.result(60), expected(SLOW))


@pytest.mark.parametrize("in_order", [False, True], ids=["kill", "stop"])
def test_a_call_survives_a_restart_of_the_whole_server(in_order: bool) -> None:
    ports = free_ports(2)
    with ThreadPoolExecutor(1) as pool:
        with FakeCommand(ports, drain_timeout=0) as first:
            first.wait_until_ready()
            client = BertClient(**first.ports, connect_timeout=60_000)
            running = pool.submit(client.encode, SLOW)
            while client.server_status["queue"]["open_requests"] == 0:
                pass
            first.stop(signal.SIGTERM if in_order else signal.SIGKILL)
            first.wait_for_end(30)
        with FakeCommand(ports) as second, client:
            second.wait_until_ready()
            np.testing.assert_array_equal(running.result(60), expected(SLOW))


# -- the end ----------------------------------------------------------------------------------------------------------


def test_what_is_accepted_is_finished_before_the_end(serve: Serve, connect: Connect) -> None:
    server = serve(max_batch_size=4)
    with under_way(server, connect, SLOW) as running, RawClient(server, b"late") as late:
        late.ask(*encode_request(b"late", 1, ["in time"]))
        server.stop()
        for number in itertools.count(2):
            reply = late.ask(*encode_request(b"late", number, ["too late"]))
            if not isinstance(reply, RowsReply):  # until then the ventilator has not heard of it
                break
        assert isinstance(getattr(reply, "error", None), ServerStopping)
        np.testing.assert_array_equal(running.result(60), expected(SLOW))
    server.join(30)
    assert not server.is_alive()
    assert server.failure is None


@pytest.mark.parametrize("at_once", [False, True], ids=["drain_timeout", "at once"])
def test_what_cannot_be_finished_is_answered_at_the_end(serve: Serve, connect: Connect, at_once: bool) -> None:
    server = serve(drain_timeout=3600 if at_once else 0)
    with RawClient(server, b"me") as raw:
        raw.push.send_multipart(encode_request(b"me", 1, ["!slow 0.1"] * 1000))
        while open_requests(server) == 0:
            pass
        server.stop()
        if at_once:
            server.stop(at_once=True)
        assert raw.sub.poll(30_000)
        assert isinstance(getattr(decode_reply(raw.sub.recv_multipart()), "error", None), ServerStopping)


def test_it_listens_where_it_is_told_to(serve: Serve) -> None:
    server = serve(host="127.0.0.2")
    ports = ports_of(server)
    with BertClient(ip="127.0.0.2", **ports) as client:
        np.testing.assert_array_equal(client.encode(["a"]), expected(["a"]))
    with pytest.raises(ConnectFailed, match="nothing listens"), BertClient(connect_timeout=300, **ports):
        pass
