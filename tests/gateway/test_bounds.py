"""What strangers may take of the gateway: bytes of bodies and answers, values in JSON, connections, time."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import socket
import threading
import time
from collections.abc import AsyncIterator
from typing import Any
from unittest import mock

import httpx
import numpy as np
import orjson
import psutil
import pytest
import uvicorn
from gateway_support import POLL_S, Browse
from hypothesis import given, settings
from hypothesis import strategies as st
from serving import fake_config
from uvicorn.server import ServerState

from bert_serving.client import ServerError, ServerRestarted
from bert_serving.client.checks import check_texts
from bert_serving.client.wire import RowsReply
from bert_serving.server import BertServer, ConfigError
from bert_serving.server.gateway import backend as backend_module
from bert_serving.server.gateway import guard, parsing, protocol, writing
from bert_serving.server.gateway.app import MOST_VIEWERS, create_app
from bert_serving.server.gateway.backend import Backend
from bert_serving.server.gateway.held import LEAST_BYTES_A_SECOND, PATIENCE_S, UNCOUNTED_BYTES, Answers, Bodies, Body
from bert_serving.server.gateway.parsing import MOST_ELEMENTS, count_elements, parsed
from bert_serving.server.gateway.problems import Problem, problem_of
from bert_serving.server.gateway.schemas import EncodeBody
from bert_serving.server.gateway.slots import WAITING_PER_SLOT, Slots
from bert_serving.server.options import get_args_parser

MB = 1 << 20


# -- bytes that are held: the decision --------------------------------------------------------------------------------


def body(given_up: list[int], number: int = 0, begun_s: float = 0.0) -> Body:
    return Body(begun_s, lambda: given_up.append(number))


def test_a_body_has_its_room_before_it_comes() -> None:
    bodies = Bodies(10 * MB)
    first, second = body([]), body([])
    assert bodies.hold(first, 8 * MB, now_s=0)
    assert not bodies.hold(second, 3 * MB, now_s=0)
    assert bodies.hold(second, 2 * MB, now_s=0)
    bodies.release(first)
    bodies.release(first)
    assert bodies.held == 2 * MB
    assert bodies.hold(second, 10 * MB, now_s=0)


def test_small_ones_are_always_taken() -> None:
    bodies = Bodies(1 * MB)
    assert bodies.hold(body([]), MB, now_s=0)
    assert bodies.hold(body([]), UNCOUNTED_BYTES, now_s=0)
    assert not bodies.hold(body([]), UNCOUNTED_BYTES + 1, now_s=0)


def test_who_is_slow_makes_room_and_nobody_else_does() -> None:
    given_up: list[int] = []
    bodies = Bodies(4 * MB)
    whole, fast, slow, newer = (body(given_up, number) for number in range(4))
    for one in (whole, fast, slow, newer):
        assert bodies.hold(one, MB, now_s=0)
    whole.is_whole = True
    now_s = PATIENCE_S + 1
    fast.received = 2 * LEAST_BYTES_A_SECOND
    newer.begun_s = now_s
    assert not bodies.hold(body([]), 2 * MB, now_s)  # in vain nobody is given up
    assert given_up == []
    assert bodies.hold(body([]), MB, now_s)
    assert given_up == [2]
    assert bodies.held == 4 * MB


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 4 * MB), st.sampled_from(["hold", "release", "whole"]))))
@settings(max_examples=200, deadline=None)
def test_no_more_is_held_than_may_be(steps: list[tuple[int, int, str]]) -> None:
    bodies = Bodies(8 * MB)
    some = [body([]) for _ in range(6)]
    for now_s, (number, size, what) in enumerate(steps):
        if what == "hold":
            bodies.hold(some[number], size, now_s)
        elif what == "release":
            bodies.release(some[number])
        else:
            some[number].is_whole = True
        assert bodies.held == sum(one.size for one in some) <= 8 * MB
    for one in some:
        bodies.release(one)
    assert bodies.held == 0


# -- what JSON holds --------------------------------------------------------------------------------------------------

SIMPLE = st.recursive(
    st.text(alphabet='a,[{"\\]}:\n\u00e9') | st.integers() | st.booleans(),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=20,
)


@given(st.lists(SIMPLE, max_size=20), st.integers(1, 7))
@settings(max_examples=300, deadline=None)
def test_what_stands_in_texts_does_not_count(content: list[Any], slice_bytes: int) -> None:
    def expected(value: Any) -> int:
        if not isinstance(value, (list, dict)):
            return 0
        inner = list(value.values()) if isinstance(value, dict) else value
        return 1 + max(0, len(inner) - 1) + sum(map(expected, inner))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parsing, "SLICE_BYTES", slice_bytes)
        assert sum(parsing._counts_outside_texts(json.dumps(content).encode())) == expected(content)


def test_a_text_may_have_any_number_of_commas_and_a_list_may_not() -> None:
    assert count_elements(b'{"texts":["%s"]}' % (b",[" * MOST_ELEMENTS)) == 2
    assert parsed(bytearray(b'{"texts":["%s"]}' % (b"," * 2 * MOST_ELEMENTS)), EncodeBody).texts
    with pytest.raises(Problem, match="may hold 500000") as caught:
        parsed(bytearray(b'{"texts":[%s[]]}' % (b"[]," * MOST_ELEMENTS)), EncodeBody)
    assert caught.value.status == 413


MOST_COSTLY = [
    pytest.param(b'"ab",', id="texts"),
    pytest.param(b"[],", id="lists"),
    pytest.param(b"{},", id="objects"),
    pytest.param(b'["ab"],', id="lists of texts"),
    pytest.param(b"[70000],", id="lists of ids"),
    pytest.param(b"1.5,", id="numbers"),
    pytest.param(b'{"a":[]},', id="objects of lists"),
    pytest.param('"\U0001f600",'.encode(), id="wide texts"),
]


@pytest.mark.parametrize("item", MOST_COSTLY)
def test_what_is_parsed_takes_three_times_its_bytes_and_64_mb(item: bytes) -> None:
    number = MOST_ELEMENTS // max(1, count_elements(item))
    content = bytearray(b'{"texts":[%s""]}' % (item * (number - 8)))
    size = len(content)
    process = psutil.Process()
    before = process.memory_info().rss
    kept = parsed(content, EncodeBody)
    assert kept.texts
    assert process.memory_info().rss - before < 3 * size + 64 * MB


@pytest.mark.parametrize("nesting", [b"[", b'{"a":', b'{"texts":['])
def test_depth_is_no_json(nesting: bytes) -> None:
    with pytest.raises(Problem) as caught:
        parsed(bytearray(nesting * 100_000), EncodeBody)
    assert caught.value.status == 400


# -- answers ----------------------------------------------------------------------------------------------------------


async def read_all(response: Any) -> tuple[list[bytes], dict[str, str]]:
    pieces: list[bytes] = []

    async def receive() -> Any:
        await asyncio.Event().wait()

    async def send(message: Any) -> None:
        if message["type"] == "http.response.body":
            pieces.append(message["body"])

    await response({"type": "http", "asgi": {"spec_version": "2.4"}}, receive, send)
    return pieces, dict(response.headers)


@pytest.mark.parametrize("shape", [(1, 3), (7, 3), (4000, 64), (50, 20, 300), (2, 1)])
async def test_an_answer_in_pieces_is_the_same(shape: tuple[int, ...]) -> None:
    array = np.random.default_rng(0).random(shape, np.float32)
    tokens = [["a"]] * len(array)
    reply = RowsReply(b"me", 7, array, tokens, [0], 3)
    pieces, headers = await read_all(writing.as_octets(array))
    np.testing.assert_array_equal(np.frombuffer(b"".join(pieces), "<f4").reshape(shape), array)
    assert headers["content-length"] == str(array.nbytes)
    assert headers["x-shape"] == ",".join(map(str, shape))
    pieces, _ = await read_all(writing.as_results(reply, "id", show_tokens=True))
    found = orjson.loads(b"".join(pieces))
    np.testing.assert_array_equal(np.array(found.pop("results"), np.float32), array)
    assert found == {"id": "id", "status": 200, "tokens": tokens, "truncated": [0]}
    assert max(map(len, pieces)) < 8 * writing.PIECE_BYTES
    if array.ndim == 2:
        for is_base64 in (True, False):
            pieces, _ = await read_all(writing.as_embeddings(array, is_base64, {"model": "m"}))
            found = orjson.loads(b"".join(pieces))
            assert [item["index"] for item in found["data"]] == list(range(len(array)))
            assert (found["object"], found["model"]) == ("list", "m")


def test_answers_are_counted_before_they_are_asked_for() -> None:
    answers = Answers(100)
    first, second = backend_module._Answer(answers), backend_module._Answer(answers)
    first.expect(80)
    with pytest.raises(Problem) as caught:
        second.expect(30)
    assert (caught.value.status, caught.value.retry_after_s) == (429, 2)
    with pytest.raises(Problem) as caught:
        second.expect(101)
    assert caught.value.status == 413
    first.has_come(60)
    second.expect(40)
    for answer in (first, second, first, second):
        answer.release()
    assert answers.held == 0


async def test_a_thousand_requests_at_once_are_a_hundred_and_one() -> None:
    slots = Slots(1)
    go = asyncio.Event()

    async def ask() -> int:
        try:
            async with slots.take(60):
                await go.wait()
                return 200
        except Problem as problem:
            return problem.status

    asking = [asyncio.create_task(ask()) for _ in range(1000)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert slots.waiting <= WAITING_PER_SLOT
    go.set()
    statuses = await asyncio.gather(*asking)
    assert statuses.count(200) <= 1 + WAITING_PER_SLOT
    assert set(statuses) == {200, 429}
    assert (slots.at_work, slots.waiting) == (0, 0)


# -- over real sockets ------------------------------------------------------------------------------------------------


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


def test_a_body_that_finds_no_room_is_not_read() -> None:
    async def check() -> None:
        async def receive() -> Any:
            raise AssertionError("it was read")

        bodies = Bodies(MB)
        assert bodies.hold(body([], begun_s=time.monotonic()), MB, time.monotonic())
        with pytest.raises(Problem) as caught:
            await guard.Bounded(receive, 16 * MB, bodies, promised=MB)()
        assert (caught.value.status, caught.value.retry_after_s) == (429, guard.ROOM_RETRY_S)

    asyncio.run(check())


def test_a_thousand_viewers_at_once_are_a_hundred(browse: Browse) -> None:
    http = browse()
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


def test_a_large_answer_that_nobody_reads_is_given_up(browse: Browse) -> None:
    http = browse()
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


# -- health, keys, errors ---------------------------------------------------------------------------------------------


async def asked(backend: Backend, method: str, path: str, **about: Any) -> httpx.Response:
    """Without a server."""
    transport = httpx.ASGITransport(create_app(backend, fake_config(http_max_body=1)), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://a") as http:
        return await http.request(method, path, **about)


@pytest.mark.parametrize(
    ("has_spoken", "silent_s", "is_draining", "status"),
    [
        (True, 1, False, 200),
        (True, 29, False, 200),
        (True, 31, False, 503),
        (True, 31, True, 200),
        (False, 599, False, 200),  # it loads
        (False, 601, False, 503),
    ],
)
async def test_it_is_live_until_the_service_has_been_silent_for_long(
    has_spoken: bool, silent_s: float, is_draining: bool, status: int
) -> None:
    backend = Backend(fake_config(start_timeout=600), None)
    backend._begun_s = time.monotonic() - silent_s
    if has_spoken:
        backend.status, backend._status_s = {"state": "loading"}, time.monotonic() - silent_s
    backend.is_draining = is_draining
    answer = await asked(backend, "GET", "/health/live")
    assert answer.status_code == status
    if status == 503:
        assert "has said nothing for" in answer.json()["error"]["message"]


async def test_a_slow_heartbeat_may_be_silent_for_longer() -> None:
    backend = Backend(fake_config(heartbeat_timeout=60), None)
    backend.status, backend._status_s = {"state": "ready"}, time.monotonic() - 100
    assert (await asked(backend, "GET", "/health/live")).status_code == 200


@pytest.mark.parametrize("key", ["", " ", "\n", "\t \r\n"])
def test_an_empty_key_is_refused(key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="-http_api_key is empty"):
        fake_config(http_api_key=key)
    monkeypatch.setenv("BERT_SERVING_HTTP_API_KEY", key)
    with pytest.raises(ConfigError, match="-http_api_key is empty"):
        BertServer(get_args_parser().parse_args(["-model_dir", "fake"]))


def test_a_key_from_a_file_has_no_line_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BERT_SERVING_HTTP_API_KEY", "sesame\r\n")
    assert get_args_parser().parse_args(["-model_dir", "fake"]).http_api_key == "sesame"
    for key in ("sesame\n", " sesame", "ses\0ame", "ses\udcffame"):
        with pytest.raises(ConfigError, match="-http_api_key has"):
            fake_config(http_api_key=key)


def test_a_restarted_server_is_worth_another_try() -> None:
    problem = problem_of(ServerRestarted("again"))
    assert (problem.status, problem.retry_after_s) == (503, 1)
    assert problem_of(ServerError("no")).status == 500


class FakeClient:
    """Takes what the routes hand on, and answers or raises."""

    def __init__(self, error: Exception | None = None) -> None:
        self._error = error
        self.first_id = 1
        self.status = {"identity": b"me", "pending_request": []}

    def write(self, texts: Any, is_tokenized: bool, left_s: float) -> Any:
        return check_texts(texts, is_tokenized)

    async def answer(self, checked: Any, due_s: float) -> RowsReply:
        if self._error is not None:
            raise self._error
        return RowsReply(b"", 1, np.ones((len(checked), 3), np.float32), None, [], len(checked))


def backend_with(client: FakeClient) -> Backend:
    backend = Backend(fake_config(), None)
    backend._client = client  # type: ignore[assignment]
    return backend


@pytest.mark.parametrize("error", [RuntimeError("boom"), MemoryError(), RecursionError(), KeyError("x")])
async def test_any_exception_is_answered(error: Exception) -> None:
    answer = await asked(backend_with(FakeClient(error)), "POST", "/encode", json={"texts": ["a"]})
    assert answer.status_code == 500
    assert "boom" not in answer.text


async def test_nothing_is_read_while_there_is_nobody_to_ask() -> None:
    read: list[bool] = []

    async def content() -> AsyncIterator[bytes]:
        read.append(True)
        yield b"{}"

    answer = await asked(Backend(fake_config(), None), "POST", "/encode", content=content())
    assert read == []
    assert answer.status_code == 503
    assert int(answer.headers["Retry-After"]) > 0


ODD = st.sampled_from(
    [b'"\\ud800"', b'"\\udc00\\ud800"', b"NaN", b"Infinity", b"-0", b"1e999", b"9" * 400, b"9" * 20, b'""',
     b'"\\u0000"', b"\xff", b'"\xed\xa0\x80"', b"[" * 2000, b"null", b"true",
     b'{"":{"":[]}}', b'"a"', b'["a"]', b"[1]", b"[]", b"{}"]
)  # fmt: skip


@given(
    st.sampled_from(["/encode", "/v1/embeddings", "/embeddings"]),
    st.lists(
        st.tuples(st.sampled_from([b"texts", b"input", b"id", b"dimensions", b"is_tokenized", b"x", b"texts"]), ODD)
    ),
    st.binary(max_size=20) | st.just(b""),
)
@settings(max_examples=300, deadline=None)
def test_no_body_makes_the_gateway_fail(path: str, fields: list[tuple[bytes, bytes]], after: bytes) -> None:
    content = b"{%s}%s" % (b",".join(b'"%s":%s' % field for field in fields), after)
    answer = asyncio.run(asked(backend_with(FakeClient()), "POST", path, content=content))
    assert answer.status_code in (200, 400, 422), answer.text
    if answer.status_code != 200:
        assert answer.json()["error"]["message"]


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
