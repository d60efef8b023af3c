"""The gateway's dialects before real models: tokens with their ids, and the order of a cross-encoder."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import tokenizers
from folders import GOLDEN
from gateway_support import wait_until_ready
from numpy.testing import assert_allclose
from ports import free_ports

from bert_serving.client import BertClient
from bert_serving.server.config import ServerConfig
from bert_serving.server.service.server import BertServer

FOLDER = GOLDEN / "architectures"
CASES = json.loads((FOLDER / "cases.json").read_text())
NUMBERS = np.load(FOLDER / "vectors.npz")


@contextmanager
def served(folder: Path, **options: Any) -> Iterator[tuple[httpx.Client, BertClient]]:
    port, port_out, http_port = free_ports(3)
    where: dict[str, Any] = {"port": port, "port_out": port_out}
    more = {"http_port": http_port, "http_host": "127.0.0.1", **options}
    config = ServerConfig.from_mapping({"model_dir": str(folder), "cpu": True, **where, **more})
    with (
        BertServer(config),
        BertClient(**where, check_length=False) as client,
        httpx.Client(base_url=f"http://127.0.0.1:{http_port}", timeout=60) as http,
    ):
        yield wait_until_ready(http), client


def post(http: httpx.Client, path: str, body: dict[str, Any]) -> Any:
    answer = http.post(path, json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_ranks_as_the_client_does() -> None:
    pairs = CASES["pairs"]
    query, documents = pairs[0][0], [pair[1] for pair in pairs]
    with served(FOLDER / "cross_xlm_roberta", max_seq_len=48) as (http, client):
        hits = [tuple(hit) for hit in client.rank(query, documents)]
        cohere = post(http, "/v1/rerank", {"model": "any", "query": query, "documents": documents})["results"]
        assert [(one["index"], one["relevance_score"]) for one in cohere] == hits
        tei = post(http, "/rerank", {"query": query, "texts": documents, "truncate": True})
        assert [(one["index"], one["score"]) for one in tei] == hits
        raw = post(http, "/rerank", {"query": query, "texts": documents, "raw_scores": True})
        assert [one["index"] for one in raw] == [index for index, _ in hits]
        assert_allclose([1 / (1 + np.exp(-one["score"])) for one in raw], [score for _, score in hits], atol=1e-6)
        found = post(http, "/predict", {"inputs": pairs})
        assert_allclose([row[0]["score"] for row in found], NUMBERS["cross_xlm_roberta/scores"], rtol=0, atol=2e-5)
        vectors = client.encode(CASES["texts"], normalize=True)  # beside the head there are vectors
        assert_allclose(post(http, "/embed", {"inputs": CASES["texts"]}), vectors, rtol=0, atol=1e-6)


def test_predicts_labels() -> None:
    texts = CASES["texts"]
    with served(FOLDER / "cross_distilbert", max_seq_len=64) as (http, client):
        found = post(http, "/predict", {"inputs": [[text] for text in texts]})
        assert [[(one["label"], one["score"]) for one in row] for row in found] == client.classify(texts)
        refused = http.post("/v2/rerank", json={"query": "a", "documents": ["b"]})
        assert refused.status_code == 400
        assert "head has 3 labels" in refused.json()["error"]["message"]


def test_tokens_of_each_text_with_their_ids() -> None:
    texts = [text for text in CASES["texts"] if text.strip()][:8]
    with served(FOLDER / "cross_xlm_roberta", max_seq_len=64, show_tokens_to_client=True) as (http, client):
        found = post(http, "/tokenize", {"inputs": texts})
        library = tokenizers.Tokenizer.from_file(str(FOLDER / "cross_xlm_roberta" / "tokenizer.json"))
        library.no_truncation()
        for text, row in zip(texts, found, strict=True):
            assert [one["id"] for one in row] == library.encode(text).ids
            assert [one["special"] for one in row] == [bool(one) for one in library.encode(text).special_tokens_mask]
            for one in row:
                if one["special"]:
                    assert (one["start"], one["stop"]) == (None, None)
                elif one["stop"]:
                    assert one["text"] == text[one["start"] : one["stop"]]
        plain = post(http, "/tokenize", {"inputs": texts[0], "add_special_tokens": False})
        assert plain == [[one for one in found[0] if not one["special"]]]
        long = http.post("/tokenize", json={"inputs": " ".join(texts * 4)})
        assert (long.status_code, long.json()["error_type"]) == (413, "validation")
        whole = post(http, "/embed_all", {"inputs": texts})
        assert [len(rows) for rows in whole] == [len(row) for row in found]
        for text, rows in zip(texts, whole, strict=True):
            assert_allclose(rows, client.encode([text], pooling="NONE", normalize=False)[0][: len(rows)], atol=1e-6)
