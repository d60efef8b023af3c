"""What strangers may take of the gateway, over real sockets: memory, connections, time."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import socket
import threading
import time
from typing import Any
from unittest import mock

import httpx
import orjson
import psutil
import pytest
import uvicorn
from gateway_support import POLL_S, Browse
from uvicorn.server import ServerState

from bert_serving.server.gateway import protocol
from bert_serving.server.gateway.routes.pages import MOST_VIEWERS

MB = 1 << 20


def gateway_of(http: httpx.Client) -> psutil.Process:
    processes = http.get("/status/server").json()["processes"]
    return psutil.Process(next(process["pid"] for process in processes if process["name"] == "gateway"))


class Watched:
    """The most memory that a process takes while the block runs, above what it took before."""

    def __init__(self, process: psutil.Process) -> None:
        self._process = process
        self._before = self._most = process.memory_info().rss
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def __enter__(self) -> Watched:
        self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._is_over.set()
        self._thread.join()

    @property
    def growth(self) -> int:
        return self._most - self._before

    def _watch(self) -> None:
        while not self._is_over.wait(0.01):
            self._most = max(self._most, self._process.memory_info().rss)


def connected(http: httpx.Client) -> socket.socket:
    return socket.create_connection(("127.0.0.1", int(http.base_url.port or 0)), timeout=60)


def send_all(sock: socket.socket, content: bytes) -> None:
    with contextlib.suppress(OSError):  # hung up on
        sock.sendall(content)


LONG = b'{"texts":["%s"]}' % (b"word " * (3 * MB))
LISTS = b'{"texts":[%s[]]}' % (b"[]," * (5 * MB))
WORDS = b'{"texts":[%s"ab"]}' % (b'"ab",' * (3 * MB))


@pytest.mark.parametrize("content", [LONG, LISTS, WORDS], ids=["a long text", "empty lists", "short texts"])
def test_150_large_bodies_at_once_are_bounded_and_others_are_served(browse: Browse, content: bytes) -> None:
    http = browse()
    http.post("/encode", json={"texts": ["a"]})
    head = b"POST /encode HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % len(content)
    strangers = [connected(http) for _ in range(150)]
    with Watched(gateway_of(http)) as watched:
        senders = [threading.Thread(target=send_all, args=(sock, head + content)) for sock in strangers]
        for sender in senders:
            sender.start()
        waits_s = []
        while any(sender.is_alive() for sender in senders):
            begin_s = time.monotonic()
            assert http.post("/encode", json={"texts": ["good"]}).status_code == 200
            assert http.get("/health/live").status_code == 200
            waits_s.append(time.monotonic() - begin_s)
        for sender in senders:
            sender.join()
    statuses = [sock.recv(12)[9:] for sock in strangers]
    for sock in strangers:
        sock.close()
    assert b"429" in statuses
    assert set(statuses) <= {b"429", b"200", b"413", b"400", b"422"}
    print(f"{watched.growth // MB} MB, waited at most {max(waits_s):.2f} s, {len(waits_s)} turns")
    assert watched.growth < 300 * MB
    assert len(waits_s) > 1
    assert http.post("/encode", json={"texts": ["a"]}).status_code == 200


@pytest.mark.parametrize("how", ["promised", "in chunks"])
def test_bodies_that_do_not_come_hold_no_others_up(browse: Browse, how: str) -> None:
    http = browse(http_max_body=4, http_max_bodies=8)
    head = b"Content-Length: %d\r\n\r\n" % (4 * MB) if how == "promised" else b"Transfer-Encoding: chunked\r\n\r\n"
    strangers = [connected(http) for _ in range(4)]
    for sock in strangers:
        sock.sendall(b"POST /encode HTTP/1.1\r\nHost: a\r\n" + head)
        sock.sendall(b"%x\r\n%s\r\n" % (3 * MB, b" " * 3 * MB) if how == "in chunks" else b"{")
    large = {"texts": ["word " * (MB // 2), *["a"] * 3]}
    end_s = time.monotonic() + 10
    while (answer := http.post("/encode", json=large)).status_code == 429:
        assert int(answer.headers["Retry-After"]) >= 1
        assert http.post("/encode", json={"texts": ["small"]}).status_code == 200
        assert time.monotonic() < end_s
    assert answer.status_code == 200
    assert any(sock.recv(12).endswith(b"429") for sock in strangers)
    for sock in strangers:
        sock.close()


def test_a_thousand_viewers_at_once_are_a_hundred(http: httpx.Client) -> None:
    viewers = [connected(http) for _ in range(1000)]
    for sock in viewers:
        sock.sendall(b"GET /events HTTP/1.1\r\nHost: a\r\n\r\n")
    statuses = [sock.recv(12)[9:] for sock in viewers]
    assert statuses.count(b"200") == MOST_VIEWERS
    assert statuses.count(b"429") == 1000 - MOST_VIEWERS
    for sock in viewers:
        sock.close()
    end_s = time.monotonic() + 30
    while True:  # their places are free again
        with http.stream("GET", "/events") as answer:
            if answer.status_code == 200:
                break
        assert time.monotonic() < end_s
        time.sleep(POLL_S)


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"GET /hea",
        b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n",
        b"POST /encode HTTP/1.1\r\nContent-Length: 9\r\nHost: a\r\n\r\n",
    ],
    ids=["nothing", "half a head", "a whole request", "half a request"],
)
def test_probes_are_answered_however_many_strangers_are_connected(browse: Browse, sent: bytes) -> None:
    http = browse(http_max_connect=1)
    held = []
    for _ in range(protocol.most_connections(1) + 300):
        held.append(connected(http))
        held[-1].sendall(sent)
        if sent.startswith(b"GET /metrics"):
            assert held[-1].recv(1), "it was turned away"  # and stays, without another request
    for _ in range(20):
        with httpx.Client(base_url=http.base_url) as probe:
            assert probe.get("/health/live").status_code == 200
            assert probe.get("/health/ready").status_code == 200
            assert probe.post("/encode", json={"texts": ["a"]}).status_code == 200
    for sock in held:
        sock.close()


def test_a_large_answer_that_nobody_reads_is_given_up(http: httpx.Client) -> None:
    content = orjson.dumps({"texts": [f"text {number}" for number in range(100_000)]})
    assert len(http.post("/encode", content=content).json()["results"]) == 100_000
    with connected(http) as sock:
        sock.sendall(b"POST /encode HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%s" % (len(content), content))
        assert sock.recv(12).endswith(b"200")
        time.sleep(protocol.READ_TIMEOUT_S + 3)  # to do nothing for so long is what it is about
        received = bytearray()
        with contextlib.suppress(ConnectionError):
            while piece := sock.recv(1 << 20):
                received += piece
    assert not received.endswith(b"0\r\n\r\n")
    assert http.post("/encode", json={"texts": ["a"]}).status_code == 200


class Crowd:
    """Connections without a network: who has to go."""

    def __init__(self, most: int) -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            await asyncio.Event().wait()

        self._config = uvicorn.Config(app, log_config=None)
        self._config.load()
        self._state = ServerState()
        self._kind = protocol.PatientProtocol.with_most(most)

    def connect(self, since_s: float, sent: bytes = b"") -> Any:
        transport = mock.Mock(spec=asyncio.Transport)
        transport.get_extra_info.return_value = None
        connection = self._kind(self._config, self._state, {})
        connection.connection_made(transport)
        if sent:
            connection.data_received(sent)
        connection._waits_since_s = since_s
        return connection

    @property
    def connections(self) -> Any:
        return self._state.connections


async def test_who_makes_the_server_wait_longest_goes_first() -> None:
    crowd = Crowd(3)
    at_work = crowd.connect(0.0, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    half = crowd.connect(1.0, b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n{")
    idle = crowd.connect(2.0)
    assert crowd.connections == {at_work, half, idle}
    new = crowd.connect(3.0)
    assert crowd.connections == {at_work, idle, new}
    half.transport.abort.assert_called_once()
    newer = crowd.connect(4.0)
    assert crowd.connections == {at_work, new, newer}
    at_work.pause_writing()  # it does not read its answer
    at_work._waits_since_s = 0.0
    assert at_work not in (crowd.connect(5.0), *crowd.connections)
    for connection in (at_work, half, idle, new, newer):
        for task in list(connection.tasks):
            task.cancel()


async def test_who_does_not_read_is_hung_up_on() -> None:
    crowd = Crowd(3)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(protocol, "READ_TIMEOUT_S", 0.01)
        reads, reads_not = crowd.connect(0.0), crowd.connect(0.0)
        for connection in (reads, reads_not):
            connection.pause_writing()
        reads.resume_writing()
        await asyncio.sleep(0.1)
    reads_not.transport.abort.assert_called_once()
    reads.transport.abort.assert_not_called()


def test_clients_that_leave_in_the_middle_leave_nothing_behind(browse: Browse) -> None:
    http = browse(http_max_body=1, http_max_bodies=2)
    rng = random.Random(0)
    content = json.dumps({"texts": ["word " * 100_000, "!slow 0.05 a"]}).encode()
    request = b"POST /encode HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%s" % (len(content), content)
    for _ in range(30):
        with connected(http) as sock:
            send_all(sock, request[: rng.randrange(len(request) + 1)])
    end_s = time.monotonic() + 30
    while (answer := http.post("/encode", content=content)).status_code == 429:
        assert time.monotonic() < end_s
        time.sleep(POLL_S)
    assert answer.status_code == 200


def test_requests_sent_ahead_are_answered_in_order(http: httpx.Client) -> None:
    """None of many connections that send all they have at once is forgotten while few of these are at work."""
    connections = [connected(http) for _ in range(20)]
    numbers = range(1, 31)
    for sock in connections:
        for number in numbers:
            body = json.dumps({"id": number, "texts": ["a"] * number}).encode()
            sock.sendall(b"POST /encode HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
    for sock in connections:
        answers = sock.makefile("rb")
        for number in numbers:
            assert answers.readline().startswith(b"HTTP/1.1 200")
            headers = dict(line.split(b": ", 1) for line in iter(answers.readline, b"\r\n"))
            answer = json.loads(answers.read(int(headers[b"content-length"])))
            assert (answer["id"], len(answer["results"])) == (number, number)
        answers.close()
        sock.close()
