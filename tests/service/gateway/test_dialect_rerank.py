"""Reranking in four dialects, three of which share a path."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import numpy as np
import pytest
from fake_engine import scores_of
from gateway_support import num_sent, post, wait_until_ready
from ports import free_ports
from serving import fake_config, ports_of

from bert_serving.client import BertClient
from bert_serving.server import BertServer
from bert_serving.server.poolings import PoolingStrategy

QUERY = "what is it"
TEXTS = ["a thing", "no thing", "it is that"]
LONG = ["a", "one two three four five"]


def scores(pooling: PoolingStrategy = PoolingStrategy.REGRESSION) -> list[float]:
    return [float(scores_of((QUERY, text), pooling, 1)[0]) for text in TEXTS]


def ranked(pooling: PoolingStrategy = PoolingStrategy.REGRESSION) -> list[tuple[int, Any]]:
    found = scores(pooling)
    return [(index, pytest.approx(found[index], rel=1e-5)) for index in np.argsort(-np.array(found))]


@pytest.fixture(scope="module")
def head() -> Iterator[tuple[httpx.Client, BertServer]]:
    """A server with a head of one label, and HTTP."""
    (port,) = free_ports(1)
    with (
        BertServer(fake_config(http_port=port, http_host="127.0.0.1", model_dir="head")) as server,
        httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as http,
    ):
        yield wait_until_ready(http), server


@pytest.fixture(scope="module")
def ranker(head: tuple[httpx.Client, BertServer]) -> httpx.Client:
    return head[0]


@pytest.mark.parametrize("path", ["/v1/rerank", "/v2/rerank", "/rerank"])
def test_as_cohere_and_jina(ranker: httpx.Client, path: str) -> None:
    whole = {"model": "any", "query": QUERY, "documents": TEXTS, "top_n": None, "return_documents": None}
    found = post(ranker, path, whole)
    assert {"id", "model", "results", "usage", "meta"} <= set(found)
    assert found["model"] == "any"
    assert [(one["index"], one["relevance_score"]) for one in found["results"]] == ranked()
    assert [one["document"]["text"] for one in found["results"]] == [TEXTS[index] for index, _ in ranked()]
    tokens = sum(len(f"{QUERY} {text}") for text in TEXTS)  # a character is a token to the fake engine
    assert found["usage"] == {"prompt_tokens": tokens, "total_tokens": tokens}
    objects = {"query": QUERY, "documents": [{"text": text, "url": "x"} for text in TEXTS], "top_n": 2,
               "return_documents": False, "max_tokens_per_doc": 4096}  # fmt: skip
    best = post(ranker, path, objects)["results"]
    assert [(one["index"], one["relevance_score"]) for one in best] == ranked()[:2]
    assert "document" not in best[0]


def test_as_tei(ranker: httpx.Client) -> None:
    found = post(ranker, "/rerank", {"query": QUERY, "texts": TEXTS})
    assert [(one["index"], one["score"]) for one in found] == ranked()
    assert set(found[0]) == {"index", "score"}
    capitals = {"query": QUERY, "texts": TEXTS, "truncate": True, "truncation_direction": "Right", "raw_scores": True,
                "return_text": True, "top_n": 2}  # fmt: skip
    best = post(ranker, "/rerank", capitals)
    assert [(one["index"], one["score"]) for one in best] == ranked(PoolingStrategy.LOGITS)[:2]
    assert [one["text"] for one in best] == [TEXTS[one["index"]] for one in best]
    nothing = {"query": QUERY, "texts": TEXTS, "documents": None, "truncate": None, "truncation_direction": None,
               "raw_scores": None, "return_text": None}  # fmt: skip
    assert post(ranker, "/rerank", nothing) == found


def test_as_weaviate(ranker: httpx.Client) -> None:
    found = post(ranker, "/rerank", {"query": QUERY, "property": "content", "documents": TEXTS})
    assert found["query"] == QUERY
    assert [one["document"] for one in found["scores"]] == TEXTS  # in the order that they were sent
    assert [one["score"] for one in found["scores"]] == pytest.approx(scores(), rel=1e-5)
    assert post(ranker, "/rerank", {"query": QUERY, "property": None, "documents": TEXTS}) == found
    one = post(ranker, "/rerank", {"query": QUERY, "property": TEXTS[1]})
    assert one == {"query": QUERY, "property": TEXTS[1], "score": pytest.approx(scores()[1], rel=1e-5)}


def test_the_order_is_that_of_the_client(head: tuple[httpx.Client, BertServer]) -> None:
    http, server = head
    with BertClient(**ports_of(server)) as client:
        hits = client.rank(QUERY, TEXTS)
    found = post(http, "/v1/rerank", {"query": QUERY, "documents": TEXTS})["results"]
    assert [(one["index"], one["relevance_score"]) for one in found] == [tuple(hit) for hit in hits]


NESTED: list[tuple[str, dict[str, Any], int, str]] = [
    ("/v1/rerank", {"query": QUERY}, 422, "documents: Field required"),
    ("/v1/rerank", {"documents": TEXTS}, 422, "query: Field required"),
    ("/v1/rerank", {"query": QUERY, "documents": []}, 400, "documents is empty"),
    ("/v1/rerank", {"query": QUERY, "documents": ["a", {"title": "b"}]}, 422, "documents[1] must be a text"),
    ("/v1/rerank", {"query": QUERY, "documents": TEXTS, "top_n": 0}, 422, "top_n"),
    ("/rerank", {"query": QUERY}, 422, "documents: Field required: /rerank takes query and documents"),
    ("/rerank", {"query": QUERY, "documents": None, "texts": None}, 422, "or query and texts"),
    ("/rerank", {"query": QUERY, "documents": TEXTS, "texts": TEXTS}, 422, "send one of them"),
]
TEI: list[tuple[dict[str, Any], int, str]] = [
    ({"query": QUERY, "texts": []}, 400, "texts is empty"),
    ({"texts": TEXTS}, 422, "query: Field required"),
    ({"query": QUERY, "texts": "a"}, 422, "texts"),
    ({"query": "a", "texts": LONG, "truncate": False}, 413, "more than 4 tokens"),
    ({"query": "a", "texts": LONG, "truncation_direction": "LEFT"}, 400, "truncate 'left' is for single texts"),
    ({"query": "a", "texts": LONG, "truncation_direction": "up"}, 422, "truncation_direction must be one of"),
]


@pytest.mark.parametrize(("path", "body", "status", "says"), NESTED)
def test_errors_of_cohere_are_nested(
    ranker: httpx.Client, path: str, body: dict[str, Any], status: int, says: str
) -> None:
    before = num_sent(ranker)
    answer = ranker.post(path, json=body)
    assert answer.status_code == status, answer.text
    assert {"message", "type", "param", "code"} <= set(answer.json()["error"])
    assert says in answer.json()["error"]["message"]
    assert num_sent(ranker) == before


@pytest.mark.parametrize(("body", "status", "says"), TEI)
def test_errors_of_tei_are_flat(ranker: httpx.Client, body: dict[str, Any], status: int, says: str) -> None:
    answer = ranker.post("/rerank", json=body)
    assert answer.status_code == status, answer.text
    assert set(answer.json()) == {"error", "error_type"}
    assert says in answer.json()["error"]


def test_errors_of_weaviate_are_a_sentence(ranker: httpx.Client) -> None:
    answer = ranker.post("/rerank", json={"query": QUERY, "property": "a", "documents": ["a", " "]})
    assert answer.status_code == 422
    assert list(answer.json()) == ["error"]


def test_a_model_without_a_head_ranks_nothing(http: httpx.Client) -> None:
    before = num_sent(http)
    answer = http.post("/v2/rerank", json={"query": QUERY, "documents": TEXTS})
    assert answer.status_code == 400
    assert "has no labels" in answer.json()["error"]["message"]
    flat = http.post("/rerank", json={"query": QUERY, "texts": TEXTS})
    assert (flat.status_code, set(flat.json())) == (400, {"error", "error_type"})
    assert num_sent(http) == before


def test_a_query_is_not_multiplied_without_bound(ranker: httpx.Client) -> None:
    before = num_sent(ranker)
    answer = ranker.post("/v1/rerank", json={"query": "q" * 1_000_000, "documents": ["a"] * 100_000})
    assert answer.status_code == 413
    assert "the query with each of 100000 documents makes 95367 megabytes" in answer.json()["error"]["message"]
    assert num_sent(ranker) == before
