"""An embedder and a reranker behind one port, in every dialect: each request goes to the model that it names."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import numpy as np
import pytest
from fake_engine import expected, scores_of
from gateway_command import GatewayCommand, address
from gateway_support import wait_until_ready
from serving import fake_config

from bert_serving.server import BertServer
from bert_serving.server.poolings import PoolingStrategy

SCORE = float(scores_of(("a", "b"), PoolingStrategy.REGRESSION, 1)[0])
VECTOR = expected(["a"])[0]


@pytest.fixture(scope="module")
def both() -> Iterator[httpx.Client]:
    """A client of a gateway with both."""
    with BertServer(fake_config()) as mini, BertServer(fake_config(model_dir="head")) as rerank:
        models = [f"mini={address(mini)}", f"rerank={address(rerank)}"]
        with GatewayCommand("-model", models[0], "-model", models[1]) as gateway, gateway.client() as http:
            yield wait_until_ready(http)


BODIES: list[tuple[str, dict[str, Any]]] = [
    ("/embed", {"inputs": "a", "normalize": False}),
    ("/embed_all", {"inputs": "a"}),
    ("/api/embed", {"input": "a"}),
    ("/api/embeddings", {"prompt": "a"}),
    ("/vectors", {"text": "a"}),
]


@pytest.mark.parametrize(("path", "body"), BODIES)
def test_vectors_of_either_model(both: httpx.Client, path: str, body: dict[str, Any]) -> None:
    for name in ("mini", "rerank"):
        by_field = both.post(path, json={**body, "model": name})
        by_query = both.post(path, json=body, params={"model": name})
        assert (by_field.status_code, by_query.status_code) == (200, 200), by_field.text
        assert by_field.headers["X-Fingerprint"] == by_query.headers["X-Fingerprint"]
    missing = both.post(path, json=body)
    assert missing.status_code == 422
    assert isinstance(missing.json()["error"], str)
    assert "name one as model: mini, rerank" in missing.json()["error"]
    assert both.post(path, json={**body, "model": "gpt-4"}).status_code == 404


def test_what_a_model_has_is_looked_up_for_that_model(both: httpx.Client) -> None:
    query = {"inputs": "a", "normalize": False, "prompt_name": "query"}
    of_mini = both.post("/embed", json={**query, "model": "mini"}).json()
    np.testing.assert_allclose(of_mini, expected(["query: a"]), rtol=1e-7)
    of_rerank = both.post("/embed", json={**query, "model": "rerank"}).json()  # it has no prompts
    np.testing.assert_allclose(of_rerank, expected(["a"]), rtol=1e-7)


def test_rerank_by_name(both: httpx.Client) -> None:
    shapes: list[dict[str, Any]] = [{"texts": ["b"]}, {"documents": ["b"]}, {"documents": ["b"], "property": "x"}]
    for shape in shapes:
        answer = both.post("/rerank", json={"query": "a", "model": "rerank", **shape})
        assert answer.status_code == 200, answer.text
        found = answer.json()
        score = found[0]["score"] if isinstance(found, list) else (found.get("results") or found["scores"])[0]
        shown = score if isinstance(score, float) else score.get("relevance_score", score.get("score"))
        assert shown == pytest.approx(SCORE, rel=1e-5)
        assert both.post("/rerank", json={"query": "a", "model": "mini", **shape}).status_code == 400
        assert both.post("/rerank", json={"query": "a", **shape}).status_code == 422


def test_all_models_are_told(both: httpx.Client) -> None:
    assert [one["name"] for one in both.get("/api/tags").json()["models"]] == ["mini", "rerank"]
    assert both.get("/info").status_code == 422
    assert set(both.get("/info?model=rerank").json()["model_type"]) == {"reranker"}
    assert both.post("/api/show", json={"model": "mini:latest"}).status_code == 200
    assert both.post("/api/show", json={"model": "gpt-4"}).status_code == 404
