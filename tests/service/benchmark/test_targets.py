"""Running servers as targets: this one with the fake engine, and one like OpenAI's over HTTP."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from serving import Serve

from bert_serving.server import BertServer
from bert_serving.server.benchmark.measurement import padding_between
from bert_serving.server.benchmark.targets import (
    HttpTarget,
    Snapshot,
    TargetError,
    ZmqTarget,
    find_target,
    read_embeddings,
    read_snapshot,
)


class Embeddings(BaseHTTPRequestHandler):
    """`/v1/embeddings`, which counts words as tokens; hangs up after each answer, as if it had been idle for long."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        texts = asked["input"]
        answer = {
            "data": [{"embedding": [0.0]} for _ in texts],
            "usage": {"prompt_tokens": len(" ".join(texts).split())},
        }
        body = json.dumps(answer).encode()
        self.send_response(200 if asked["model"] == "m" else 404)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def url() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Embeddings) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/v1/embeddings"
        server.shutdown()
        thread.join()


def test_http(url: str) -> None:
    session = HttpTarget(url, "m").session(10)
    assert [session.encode(["a b", "c"]) for _ in range(3)] == [3, 3, 3]
    session.close()
    refused = HttpTarget(url, "other").session(10)
    with pytest.raises(TargetError, match="status 404"):
        refused.encode(["a"])
    refused.close()


def test_http_without_a_server() -> None:
    with pytest.raises(TargetError, match="does not answer"):
        HttpTarget("http://127.0.0.1:9/v1/embeddings", "m").session(2).encode(["a"])


@pytest.mark.parametrize(
    ("status", "answer", "says"),
    [
        (500, b"no", "status 500: no"),
        (200, b"no", "not like"),
        (200, b"[]", "not like"),
        (200, b'{"data": [{}, {}]}', "1 texts with 2"),
    ],
)
def test_answers_that_are_none(status: int, answer: bytes, says: str) -> None:
    with pytest.raises(TargetError, match=says):
        read_embeddings(status, answer, 1)


def test_an_answer_need_not_tell_tokens() -> None:
    assert read_embeddings(200, b'{"data": [{}]}', 1) is None


@pytest.mark.parametrize("address", ["localhost", "localhost:1", "localhost:a:b", "ftp://localhost/x", "http:///x"])
def test_addresses_that_are_none(address: str) -> None:
    with pytest.raises(TargetError, match="-target"):
        find_target(address, "m", 1)


def test_a_running_server_counts_tokens_and_padding(serve: Serve) -> None:
    config = serve(show_tokens_to_client=True).config
    target = find_target(f"localhost:{config.port}:{config.port_out}", "m", 10)
    assert isinstance(target, ZmqTarget)
    assert target.about()["port"] == config.port
    count = target.counter()
    assert count is not None
    assert count(["a b", "c"] * 50) == [2, 1] * 50
    before = target.snapshot()
    session = target.session(10)
    assert session.encode(["abcd", "ab"] * 3) is None
    session.close()
    assert before.open_requests == 0
    padding = padding_between(before, target.snapshot())
    assert padding is not None
    assert 0 <= padding < 0.5


def test_tokens_are_unknown_where_the_server_does_not_send_them(server: BertServer) -> None:
    config = server.config
    assert ZmqTarget("localhost", config.port, config.port_out, 10).counter() is None


def test_counters_of_a_status() -> None:
    workers = [
        {"name": "worker-0", "tokens": 3, "padded_tokens": 4},
        {"name": "worker-1", "tokens": 1, "padded_tokens": 6},
    ]
    assert read_snapshot({"queue": {"open_requests": 2}, "workers": workers}) == Snapshot(2, 4, 10)
    assert read_snapshot({"num_worker": 1}) == Snapshot(0, None, None)
    assert padding_between(Snapshot(0, 0, 0), Snapshot(0, 4, 10)) == pytest.approx(0.6)
    assert padding_between(Snapshot(), Snapshot(0, 4, 10)) is None
