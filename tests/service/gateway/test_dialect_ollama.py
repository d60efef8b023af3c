"""Ollama's API and Weaviate's, as far as they are about vectors."""

from __future__ import annotations

from typing import Any

import httpx
import numpy as np
import pytest
from fake_engine import DIM, expected, vector_of_view
from gateway_support import Browse, post

from bert_serving.server.poolings import PoolingStrategy
from bert_serving.server.wanted import PooledView

TEXTS = ["Why is the sky blue?", "Why is the grass green?"]
LONG = "one two three four five"


def cut(texts: list[str], dimensions: int) -> Any:
    view = PooledView((PoolingStrategy.REDUCE_MEAN,), (-2,), True, dimensions)
    return np.stack([vector_of_view(text, view) for text in texts])


def test_embed(http: httpx.Client) -> None:
    body = {
        "model": "all-minilm:latest",
        "input": TEXTS,
        "truncate": True,
        "keep_alive": "5m",
        "options": {"num_ctx": 2},
    }
    found = post(http, "/api/embed", body)
    assert list(found) == ["model", "embeddings", "total_duration", "load_duration", "prompt_eval_count"]
    np.testing.assert_allclose(found["embeddings"], expected(TEXTS), rtol=1e-7)
    assert found["model"] == "all-minilm"
    assert found["prompt_eval_count"] == sum(map(len, TEXTS))  # a character is a token to the fake engine
    assert found["total_duration"] > 0
    one = post(http, "/api/embed", {"input": TEXTS[0], "dimensions": 3, "truncate": None, "options": None})
    np.testing.assert_allclose(one["embeddings"], cut(TEXTS[:1], 3), rtol=1e-6)
    assert one["model"] == "fake"


def test_the_older_route(http: httpx.Client) -> None:
    found = post(http, "/api/embeddings", {"model": "any", "prompt": TEXTS[0], "keep_alive": 0, "options": {}})
    assert list(found) == ["embedding"]
    np.testing.assert_allclose(found["embedding"], expected(TEXTS[:1])[0], rtol=1e-7)


def test_what_clients_ask_before(http: httpx.Client) -> None:
    assert http.get("/api/version").json()["version"]
    (model,) = http.get("/api/tags").json()["models"]
    assert model["name"] == "fake"
    assert model["digest"] == http.get("/v1/models").json()["data"][0]["fingerprint"]
    for name in ("model", "name"):
        assert post(http, "/api/show", {name: "fake:latest"})["capabilities"] == ["embedding"]
    assert http.head("/").status_code == 200


OLLAMA: list[tuple[str, dict[str, Any], int, str]] = [
    ("/api/embed", {}, 422, "input: Field required"),
    ("/api/embed", {"input": []}, 400, "input is empty"),
    ("/api/embed", {"input": ["a", 1]}, 422, "input[1] must be a text"),
    ("/api/embed", {"input": ["a", LONG], "truncate": False}, 422, "more than 4 tokens"),
    ("/api/embed", {"input": "a", "dimensions": DIM + 1}, 400, "dimensions: a vector has only 8"),
    ("/api/embeddings", {"input": "a"}, 422, "prompt: Field required"),
    ("/api/embeddings", {"prompt": ""}, 400, "prompt is empty"),
    ("/api/show", {"model": 1}, 422, "model"),
    ("/api/generate", {"model": "a"}, 404, "no such route"),
    ("/vectors", {}, 422, "text: Field required, or texts"),
    ("/vectors", {"text": ""}, 400, "text is empty"),
    ("/vectors", {"text": "a", "texts": ["a"]}, 422, "send one of them"),
    ("/vectors", {"text": "a", "config": {"task_type": "code"}}, 400, "task_type: the model has no prompt for 'code'"),
    ("/vectors", {"text": "a", "config": {"dimensions": DIM + 1}}, 400, "dimensions: a vector has only 8"),
]


@pytest.mark.parametrize(("path", "body", "status", "says"), OLLAMA)
def test_errors_are_a_sentence(http: httpx.Client, path: str, body: dict[str, Any], status: int, says: str) -> None:
    answer = http.post(path, json=body)
    assert answer.status_code == status, answer.text
    assert list(answer.json()) == ["error"]
    assert says in answer.json()["error"]


def test_vectors_for_weaviate(http: httpx.Client) -> None:
    found = post(http, "/vectors/", {"text": "a", "config": {"pooling_strategy": "masked_mean", "task_type": None}})
    assert (found["text"], found["dims"]) == ("a", DIM)
    np.testing.assert_allclose(found["vector"], expected(["a"])[0], rtol=1e-7)
    for role, prompt in (("query", "query: "), ("passage", "passage: ")):
        found = post(http, "/vectors", {"text": "a", "config": {"task_type": role}})
        np.testing.assert_allclose(found["vector"], expected([f"{prompt}a"])[0], rtol=1e-7)
    batch = post(http, "/vectors", {"texts": TEXTS, "config": {"dimensions": 3}})
    np.testing.assert_allclose(batch["vectors"], cut(TEXTS, 3), rtol=1e-6)
    assert batch["dims"] == 3
    assert http.get("/.well-known/ready").status_code == 204
    assert http.get("/meta").json()["model_id"] == "fake"


def test_what_gives_a_vector_for_each_token_has_no_place_there(browse: Browse) -> None:
    http = browse(pooling_strategy="NONE")
    for path, field in (("/api/embed", "input"), ("/api/embeddings", "prompt"), ("/vectors", "text")):
        assert "use /encode" in http.post(path, json={field: "a"}).json()["error"]
