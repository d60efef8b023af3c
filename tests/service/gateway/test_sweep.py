"""What clients, SDKs, proxies and probes really send, byte by byte, and what each of them is answered."""

from __future__ import annotations

import gzip
import json
import os
import socket
import subprocess
import sys
from http.client import HTTPResponse
from typing import Any, NamedTuple

import httpx
import pytest
from docker_files import DOCKER
from fake_engine import vector_of
from ports import free_ports

HALF = "\ud83d"
VECTOR = str(vector_of("hello")[0])
QUERY = str(vector_of("query: hello")[0])
GET_ONLY = "GET, HEAD, OPTIONS"
POST_ONLY = "OPTIONS, POST"
BOTH = "GET, HEAD, OPTIONS, POST"


class Answer(NamedTuple):
    """Of an HTTP server, a letter of `body` for each byte; `length` is what its Content-Length says."""

    status: int
    headers: dict[str, str]
    body: str

    @property
    def length(self) -> int:
        return int(self.headers["content-length"])

    @property
    def error(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.body)["error"]
        return found


def sent(http: httpx.Client, request: bytes) -> Answer:
    """The answer to these very bytes."""
    with socket.create_connection(("127.0.0.1", http.base_url.port or 0), timeout=30) as sock:
        sock.sendall(request)
        response = HTTPResponse(sock, method=request.partition(b" ")[0].decode())
        response.begin()
        headers = {name.lower(): value for name, value in response.getheaders()}
        return Answer(response.status, headers, response.read().decode("latin-1"))


def head(method: str, target: str, *headers: str, version: str = "1.1") -> bytes:
    """Of a request, with a Host unless it is HTTP/1.0."""
    host = ["Host: 127.0.0.1"] if version == "1.1" else []
    return "\r\n".join([f"{method} {target} HTTP/{version}", *host, *headers, "", ""]).encode("latin-1")


def get(target: str, *headers: str) -> bytes:
    return head("GET", target, *headers)


def post(body: Any, *headers: str, target: str = "/v1/embeddings") -> bytes:
    """With a body as it is, or as JSON."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return head("POST", target, *headers, f"Content-Length: {len(content)}") + content


HELLO = {"input": "hello", "model": "any"}
JSON = "Content-Type: application/json"
STAINLESS = ["X-Stainless-Lang: js", "X-Stainless-Retry-Count: 0", "Accept: application/json", "User-Agent: OpenAI/JS"]

TABLE: list[tuple[str, bytes, int, str]] = [
    # bodies
    ("LiteLLM: null is not given", post({"input": "hello", "model": None, "encoding_format": None}), 200, VECTOR),
    ("null for every field that may be left out",
     post({"texts": ["hello"], "id": None, "is_tokenized": None, "show_tokens": None}, target="/encode"), 200, VECTOR),
    ("null where a value is needed", post({"input": None}), 422, "input: Field required"),
    ("null in the place of a text", post({"input": ["hello", None]}), 422, '"index":1'),
    ("half a pair among texts", post({"input": ["ok", HALF]}), 422, '"index":1'),
    ("half a pair to /encode", post({"texts": ["a", "b", f"c {HALF}"]}, target="/encode"), 422, '"index":2'),
    ("half a pair as the model", post({"input": "a", "model": HALF}), 422, '"param":"model"'),
    ("half a pair in raw bytes", post(b'{"input": ["ok", "\xed\xa0\xbd"]}'), 422, '"index":1'),
    ("PowerShell: a byte order mark", post(b"\xef\xbb\xbf" + json.dumps(HELLO).encode()), 200, VECTOR),
    ("PowerShell: UTF-16", post(json.dumps(HELLO).encode("utf-16")), 400, "not JSON in UTF-8"),
    ("a body in Latin-1", post('{"input": "é"}'.encode("latin-1"), f"{JSON}; charset=latin-1"), 400, "UTF-8"),
    ("an empty body", post(b""), 400, "the body is empty"),
    ("no body and no length", head("POST", "/v1/embeddings"), 400, "the body is empty"),
    ("JSON that is a text", post(b'"hello"'), 422, "must be a JSON object"),
    ("JSON that is a list", post(["hello"], target="/encode"), 422, "must be a JSON object"),
    ("a form", post(b"input=hello&model=any", "Content-Type: application/x-www-form-urlencoded"), 400, "not JSON"),
    ("curl -d says that JSON is a form", post(HELLO, "Content-Type: application/x-www-form-urlencoded"), 200, VECTOR),
    ("gzip", post(gzip.compress(json.dumps(HELLO).encode()), "Content-Encoding: gzip"), 415, "Content-Encoding 'gzip'"),
    ("two encodings", post(b"?", "Content-Encoding: GZIP, br"), 415, "'gzip, br'"),
    ("the encoding identity", post(HELLO, "Content-Encoding: Identity"), 200, VECTOR),
    # headers
    ("upper case and a charset", post(HELLO, "CONTENT-TYPE: APPLICATION/JSON; CHARSET=UTF-8"), 200, VECTOR),
    ("no Content-Type", post(HELLO), 200, VECTOR),
    ("OpenAI for Node", post({**HELLO, "encoding_format": "base64"}, JSON, *STAINLESS), 200, '"embedding":"'),
    ("go-openai: an empty user", post({**HELLO, "user": ""}), 200, VECTOR),
    ("extra_body and a prefix", post({**HELLO, "input_type": "query", "truncate": "NONE"}), 200, QUERY),
    ("curl waits before a large body", post({"input": "x" * 2000}, "Expect: 100-continue"), 200, '"embedding"'),
    ("Java asks for HTTP/2", post(HELLO, "Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c",
     "HTTP2-Settings: AAEAAEAAAAIAAAAB"), 200, VECTOR),
    ("octets in another case", post({"texts": ["hello"]}, "Accept: Application/Octet-Stream", target="/encode"),
     200, vector_of("hello").tobytes().decode("latin-1")),
    # routes
    ("a base URL that ends in a slash", post(HELLO, target="//v1/embeddings"), 200, VECTOR),
    ("a slash at the end", post(HELLO, target="/v1/embeddings/"), 200, VECTOR),
    ("1.10's route with a slash", post({"texts": ["hello"]}, target="/encode/"), 200, VECTOR),
    ("a base URL without /v1", post(HELLO, target="/embeddings"), 200, VECTOR),
    ("a base URL with /v1 twice", post(HELLO, target="/v1/v1/embeddings"), 404, "ends in one /v1"),
    ("a query string", post(HELLO, target="/v1/embeddings?api-version=2024-02-01"), 200, VECTOR),
    ("the whole URL, as to a proxy", get("http://127.0.0.1/health/ready"), 200, '"ready"'),
    ("GET where POST is", get("/v1/embeddings"), 405, "takes OPTIONS, POST"),
    ("DELETE", head("DELETE", "/v1/models"), 405, "takes GET, HEAD, OPTIONS"),
    ("a model by its name", get("/v1/models/fake"), 200, '"id":"fake"'),
    ("another model", get("/v1/models/text-embedding-3-small"), 404, "there is fake"),
    ("models without /v1", get("/models/"), 200, '"object":"list"'),
    ("a model without /v1", get("/models/fake"), 200, '"object":"model"'),
    ("no name in the request", post({"input": "hello"}), 200, '"model":"fake"'),
    ("TEI with a slash", post({"inputs": "hello", "normalize": False}, target="/embed/"), 200, VECTOR),
    ("Haystack: TEI's root", post({"inputs": "hello", "normalize": False, "truncate": True}, target="/"), 200, VECTOR),
    ("Dify's TEI plugin", post({"input": "hello"}, target="/v1/embeddings"), 200, VECTOR),
    ("Ollama for Go", post({"model": "a:latest", "input": "hello", "options": None}, target="/api/embed"), 200, VECTOR),
    ("Weaviate", post({"text": "hello", "dims": 0, "vector": None, "error": "", "config": {"pooling_strategy": "cls"}},
     target="/vectors"), 200, VECTOR),
    # probes
    ("a probe of most others", get("/health"), 200, "ready"),
    ("Kubernetes", get("/health/live", "User-Agent: kube-probe/1.33", "Connection: close"), 200, "live"),
    ("Consul", get("/health/ready", "Accept: text/plain, text/*, */*"), 200, "ready"),
    ("nginx", head("GET", "/", "Connection: close", version="1.0"), 200, "<!doctype html>"),
    ("HTTP/1.0 and keep-alive", head("GET", "/metrics", "Connection: keep-alive", version="1.0"), 200, "# HELP"),
]  # fmt: skip


@pytest.mark.parametrize(("request_bytes", "status", "says"), [row[1:] for row in TABLE], ids=[row[0] for row in TABLE])
def test_what_is_sent_is_answered(http: httpx.Client, request_bytes: bytes, status: int, says: str) -> None:
    answer = sent(http, request_bytes)
    assert (answer.status, says in answer.body) == (status, True), answer
    if status >= 400:
        assert answer.error["code"] == ("model_not_found" if "there is no model" in answer.body else status)


ALL_METHODS: list[tuple[str, str]] = [
    ("/", BOTH),
    ("/docs", GET_ONLY),
    ("/openapi.json", GET_ONLY),
    ("/docs/static/swagger-ui.css", GET_ONLY),
    ("/health/live", GET_ONLY),
    ("/health", GET_ONLY),
    ("/health/ready/", GET_ONLY),
    ("/metrics", GET_ONLY),
    ("/status/server", GET_ONLY),
    ("/v1/models", GET_ONLY),
    ("/v1/models/fake", GET_ONLY),
    ("/info", GET_ONLY),
    ("/api/version", GET_ONLY),
    ("/api/tags", GET_ONLY),
    ("/meta", GET_ONLY),
    *((path, POST_ONLY) for path in ("/embed", "/embed_all", "/predict", "/rerank", "/v1/rerank", "/v2/rerank")),
    *((path, POST_ONLY) for path in ("/api/embed", "/api/embeddings", "/api/show", "/vectors")),
    ("/models", GET_ONLY),
    ("/events", GET_ONLY),
    ("/encode", POST_ONLY),
    ("/v1/embeddings", POST_ONLY),
]


@pytest.mark.parametrize(("path", "allowed"), ALL_METHODS, ids=[path for path, _ in ALL_METHODS])
def test_head_and_options_are_wherever_a_route_is(http: httpx.Client, path: str, allowed: str) -> None:
    asked = sent(http, head("OPTIONS", path, version="1.0"))  # as HAProxy does, without a Host
    assert (asked.status, asked.headers["allow"], asked.body) == (204, allowed, "")
    shown = sent(http, head("HEAD", path))
    assert (shown.status, shown.body) == (200 if "GET" in allowed else 405, "")
    if path not in ("/events", "/metrics", "/status/server"):  # one never ends, the others change
        assert shown.length == sent(http, get(path)).length > 0


def test_head_keeps_its_connection_and_opens_no_stream(http: httpx.Client) -> None:
    with httpx.Client(base_url=http.base_url, limits=httpx.Limits(max_connections=1), timeout=30) as one:
        for _ in range(3):
            stream = one.head("/events").headers
            assert stream["content-type"].startswith("text/event-stream")
            assert "content-length" not in stream
            assert one.head("/health/ready").status_code == 200
    assert http.get("/health/ready").status_code == 200


def test_what_a_refusal_asks_for_stands_in_its_headers(http: httpx.Client) -> None:
    assert sent(http, post(b"?", "Content-Encoding: deflate")).headers["accept-encoding"] == "identity"
    assert sent(http, get("/encode")).headers["allow"] == POST_ONLY
    assert sent(http, head("OPTIONS", "*")).headers["allow"] == BOTH
    assert sent(http, head("OPTIONS", "/nothing")).status == 404


def test_a_preflight_is_none_of_the_routes_business(http: httpx.Client) -> None:
    asks = ["Origin: https://a.example", "Access-Control-Request-Method: POST"]
    answer = sent(http, head("OPTIONS", "/v1/embeddings", *asks, "Access-Control-Request-Headers: authorization"))
    assert (answer.status, answer.headers["access-control-allow-headers"]) == (200, "authorization")


def health_check(**variables: str) -> subprocess.CompletedProcess[str]:
    """The container's own, in an environment that no other variable of a proxy is in."""
    env = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    command = [sys.executable, str(DOCKER / "healthcheck.py")]
    return subprocess.run(command, env={**env, **variables}, capture_output=True, text=True)


@pytest.mark.parametrize("name", ["http_proxy", "HTTP_PROXY", "all_proxy", "https_proxy"])
def test_the_health_check_goes_through_no_proxy(http: httpx.Client, name: str) -> None:
    (dead,) = free_ports(1)
    checked = health_check(**{name: f"http://127.0.0.1:{dead}", "BERT_SERVING_HTTP_PORT": str(http.base_url.port)})
    assert (checked.returncode, checked.stderr) == (0, "")


def test_the_health_check_says_what_is_wrong(http: httpx.Client) -> None:
    port = f"{http.base_url.port}\n"
    assert health_check(BERT_SERVING_HTTP_PORT=port, BERT_SERVING_HTTP_HOST="0.0.0.0").returncode == 0
    (dead,) = free_ports(1)
    for port in (str(dead), "http", "99999999"):
        checked = health_check(BERT_SERVING_HTTP_PORT=port)
        assert checked.returncode == 1
        assert f"nothing answers at 127.0.0.1, port {port}: " in checked.stderr
        assert "Traceback" not in checked.stderr
