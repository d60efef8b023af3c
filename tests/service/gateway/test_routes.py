"""1.10's routes and OpenAI's: the same vectors as by ZeroMQ, and one table of errors."""

from __future__ import annotations

import base64
from typing import Any

import httpx
import numpy as np
import openai
import pytest
from fake_engine import DIM, expected, fingerprint_of, vector_of_view
from gateway_support import Browse, num_sent, wait_until_ready
from ports import free_ports
from serving import Connect, Serve

from bert_serving.server.poolings import PoolingStrategy
from bert_serving.server.wanted import PooledView

TEXTS = ["First do it", "then do it right", "then do it better"]


def test_encode_answers_as_1_10_did(http: httpx.Client) -> None:
    answer = http.post("/encode", json={"id": 123, "texts": TEXTS, "is_tokenized": False}).json()
    assert (answer["id"], answer["status"]) == (123, 200)
    np.testing.assert_allclose(answer["results"], expected(TEXTS), rtol=1e-7)
    tokenized = http.post("/encode", json={"texts": [["hello", "world"]], "is_tokenized": True}).json()
    np.testing.assert_allclose(tokenized["results"], expected(["hello world"]), rtol=1e-7)
    assert tokenized["id"] is None
    assert "tokens" not in tokenized


def test_encode_shows_tokens_and_what_was_cut(browse: Browse) -> None:
    http = browse(show_tokens_to_client=True)
    answer = http.post("/encode", json={"texts": ["hello world", "!truncated"], "show_tokens": True}).json()
    assert answer["tokens"] == [["hello", "world"], ["!truncated"]]
    assert answer["truncated"] == [1]


def test_raw_vectors(http: httpx.Client) -> None:
    answer = http.post("/encode", json={"texts": TEXTS}, headers={"Accept": "application/octet-stream"})
    shape = [int(size) for size in answer.headers["X-Shape"].split(",")]
    np.testing.assert_array_equal(np.frombuffer(answer.content, "<f4").reshape(shape), expected(TEXTS))


def test_the_official_client_of_openai(http: httpx.Client) -> None:
    with openai.OpenAI(base_url=f"{http.base_url}/v1", api_key="none", max_retries=0) as client:
        answer = client.embeddings.create(model="bert", input=TEXTS)
        np.testing.assert_array_equal(np.array([item.embedding for item in answer.data], np.float32), expected(TEXTS))
        assert answer.usage.prompt_tokens == sum(map(len, TEXTS))  # a character is a token to the fake engine
        floats = client.embeddings.create(model="bert", input=TEXTS[0], encoding_format="float", dimensions=3)
        cut = vector_of_view(TEXTS[0], PooledView((PoolingStrategy.REDUCE_MEAN,), (-2,), True, 3))
        np.testing.assert_allclose(floats.data[0].embedding, cut, rtol=1e-6)
        assert [model.id for model in client.models.list()] == ["fake"]
        with pytest.raises(openai.UnprocessableEntityError, match=r"texts\[1\] must not be blank"):
            client.embeddings.create(model="bert", input=["a", " "])


BAD: list[tuple[str, Any, int, int | None]] = [
    ("/encode", b"no JSON", 400, None),
    ("/encode", b"\xff\xfe", 400, None),
    ("/encode", b'{"texts": ["a"], "id": NaN}', 400, None),
    ("/encode", b"[1]", 422, None),
    ("/encode", {"texts": []}, 400, None),
    ("/encode", {}, 422, None),
    ("/encode", {"texts": "a"}, 422, None),
    ("/encode", {"texts": ["a", 7]}, 422, 1),
    ("/encode", {"texts": ["a", "", "b"]}, 422, 1),
    ("/encode", {"texts": ["a"], "is_tokenized": True}, 422, 0),
    ("/encode", {"texts": ["a"], "is_tokenized": "yes"}, 422, None),
    ("/encode", {"texts": ["a"], "id": [1]}, 422, None),
    ("/encode", {"texts": ["a", "!crash"]}, 422, 1),
    ("/encode", {"texts": ["a", "!no-features"]}, 422, 1),
    ("/v1/embeddings", {"input": ""}, 400, None),
    ("/v1/embeddings", {"input": []}, 400, None),
    ("/v1/embeddings", {"input": None}, 422, None),
    ("/v1/embeddings", {"input": {"a": 1}}, 422, None),
    ("/v1/embeddings", {"input": [1, 2]}, 422, 0),
    ("/v1/embeddings", {"input": ["a", [1]]}, 422, 1),
    ("/v1/embeddings", {"input": [["a"]]}, 422, 0),
    ("/v1/embeddings", {"input": "a", "dimensions": DIM + 1}, 400, None),
    ("/v1/embeddings", {"input": "a", "dimensions": 0}, 422, None),
    ("/v1/embeddings", {"input": "a", "encoding_format": "hex"}, 422, None),
]


def post(http: httpx.Client, path: str, body: Any) -> httpx.Response:
    return http.post(path, content=body) if isinstance(body, bytes) else http.post(path, json=body)


def test_bad_input_has_the_status_of_the_table(browse: Browse) -> None:
    http = browse(http_max_body=1)
    for path, body, status, index in BAD:
        answer = post(http, path, body)
        assert answer.status_code == status, (path, body, answer.text)
        error = answer.json()["error"]
        assert (error["code"], error.get("index")) == (status, index), (path, body, error)
        assert error["message"]
        assert error["type"]
    assert http.get("/encode").status_code == 405
    assert http.get("/nothing").json()["error"]["type"] == "not_found"
    assert http.post("/encode", json={"texts": ["x" * (1 << 20)]}).status_code == 413
    assert http.post("/encode", content=iter([b"x" * (1 << 19)] * 3)).status_code == 413
    assert http.post("/encode", json={"texts": ["a"], "more": 1}).status_code == 200


def test_token_vectors_are_for_encode_alone(browse: Browse) -> None:
    http = browse(pooling_strategy="NONE", max_seq_len=5)
    assert np.array(http.post("/encode", json={"texts": ["abc"]}).json()["results"]).shape == (1, 5, DIM)
    before = num_sent(http)
    assert "use /encode" in http.post("/v1/embeddings", json={"input": "abc"}).json()["error"]["message"]
    assert num_sent(http) == before  # nothing was encoded for it


def test_all_that_tells_of_the_model_tells_the_same(serve: Serve, connect: Connect) -> None:
    (http_port,) = free_ports(1)
    server = serve(http_port=http_port, http_host="127.0.0.1", pooling_layer=[-1], model_name="org/name")
    found = fingerprint_of(server.config)
    client = connect(server, expect_fingerprint=found)
    assert client.encode(["a", "b"]).shape == (2, DIM)
    told = [client.server_config["model"], client.server_status["model"]]
    with httpx.Client(base_url=f"http://127.0.0.1:{http_port}", timeout=60) as http:
        wait_until_ready(http)
        told.append(http.get("/status/server").json()["model"])
        shown = [http.get("/v1/models").json()["data"][0], http.get("/models/org%2Fname").json()]
        told += [{"name": one["id"], "fingerprint": one["fingerprint"]} for one in shown]
        assert http.post("/v1/embeddings", json={"input": "a"}).json()["model"] == "org/name"
        assert http.post("/v1/embeddings", json={"input": "a", "model": "any"}).json()["model"] == "any"
    with openai.OpenAI(base_url=f"http://127.0.0.1:{http_port}/v1", api_key="none", max_retries=0) as asking:
        assert asking.models.retrieve("org/name").id == "org/name"
        with pytest.raises(openai.NotFoundError, match="there is no model 'gpt-4' here: there is org/name"):
            asking.models.retrieve("gpt-4")
    assert told == [{"name": "org/name", "fingerprint": found}] * len(told)
    assert client.server_config["model_name"] == "org/name"


def test_a_key(browse: Browse) -> None:
    http = browse(http_api_key="sesame")
    for path in ("/", "/docs", "/openapi.json", "/status/server", "/v1/models", "/models/fake", "/nothing"):
        for method in ("GET", "HEAD", "OPTIONS"):
            assert http.request(method, path).status_code == 401, (method, path)
    challenges = http.get("/").headers.get_list("WWW-Authenticate")
    assert [challenge.split()[0] for challenge in challenges] == ["Basic", "Bearer"], "Chromium asks for no key"
    for path in ("/metrics", "/health", "/health/live", "/health/ready/"):
        statuses = [http.request(method, path).status_code for method in ("GET", "HEAD", "OPTIONS")]
        assert statuses == [200, 200, 204], path
    assert http.post("/encode", json={"texts": ["a"]}, headers={"Authorization": "Bearer wrong"}).status_code == 401
    assert http.post("/encode", json={"texts": ["a"]}, headers={"Authorization": "Bearer sesame"}).status_code == 200
    basic = base64.b64encode(b"me:sesame").decode()
    assert http.get("/", headers={"Authorization": f"Basic {basic}"}).status_code == 200
    assert "sesame" not in http.get("/status/server", headers={"Authorization": "Bearer sesame"}).text


@pytest.mark.parametrize("scheme", ["Bearer", "Basic"])
def test_a_key_may_have_any_letters(browse: Browse, scheme: str) -> None:
    http = browse(http_api_key="Sésam-öffne-dich")

    def ask(key: bytes) -> int:
        value = key if scheme == "Bearer" else base64.b64encode(b"me:" + key)
        return http.get("/v1/models", headers={b"Authorization": scheme.encode() + b" " + value}).status_code

    assert ask("Sésam-öffne-dich".encode()) == 200  # curl
    assert ask("Sésam-öffne-dich".encode("latin-1")) == 200  # browsers, Node, requests
    assert ask(b"Sesam-offne-dich") == 401


def test_only_these_origins(browse: Browse) -> None:
    http = browse(cors="https://a.example, https://b.example")
    for origin, allowed in (("https://b.example", "https://b.example"), ("https://c.example", None)):
        answer = http.get("/v1/models", headers={"Origin": origin})
        assert answer.headers.get("access-control-allow-origin") == allowed
