"""Scores of a head, and views, beside vectors from one server with a real engine."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from folders import GOLDEN
from numpy.testing import assert_allclose, assert_array_equal
from ports import free_ports

from bert_serving.client import BadRequest, BertClient, Label, View
from bert_serving.server.config import ServerConfig
from bert_serving.server.service.server import BertServer

FOLDER = GOLDEN / "architectures"
CASES = json.loads((FOLDER / "cases.json").read_text())
NUMBERS = np.load(FOLDER / "vectors.npz")


@contextmanager
def served(folder: Path, **options: Any) -> Iterator[BertClient]:
    port, port_out = free_ports(2)
    where: dict[str, Any] = {"port": port, "port_out": port_out}
    config = ServerConfig.from_mapping({"model_dir": str(folder), "cpu": True, **where, **options})
    with BertServer(config), BertClient(**where, check_length=False) as client:
        yield client


def test_rank_is_the_order_of_the_scores() -> None:
    pairs, scores = CASES["pairs"], NUMBERS["cross_xlm_roberta/scores"]
    with served(FOLDER / "cross_xlm_roberta", max_seq_len=48) as client:
        vectors = client.encode(CASES["texts"])
        assert vectors.shape == (len(CASES["texts"]), 48)  # no option at the start asks for the head
        found = client.encode(pairs, is_pair=True, pooling="REGRESSION")
        assert_allclose(found[:, 0], scores, rtol=0, atol=2e-5)
        query, documents = pairs[0][0], [pair[1] for pair in pairs]
        hits = client.rank(query, documents)
        alone = [client.rank(query, [document])[0].score for document in documents]
        assert [hit.index for hit in hits] == list(np.argsort(-np.array(alone), kind="stable"))
        assert_allclose([hit.score for hit in hits], sorted(alone, reverse=True), rtol=0, atol=1e-6)
        assert client.rank(query, documents, top_k=2) == hits[:2]
        assert_array_equal(client.encode(CASES["texts"]), vectors)
        assert client.classify(["hello world"])[0][0].label == "LABEL_0"


def test_classify_names_the_labels() -> None:
    with served(FOLDER / "cross_distilbert", max_seq_len=64) as client:
        logits = client.encode(CASES["texts"], pooling="LOGITS")
        shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        for labels, row in zip(client.classify(CASES["texts"]), shares, strict=True):
            assert [one.label for one in labels] == [f"LABEL_{index}" for index in np.argsort(-row, kind="stable")]
            assert_allclose([one.score for one in labels], sorted(row, reverse=True), rtol=0, atol=1e-6)
            assert isinstance(labels[0], Label)
        with pytest.raises(BadRequest, match="REGRESSION is for a single label, but the model has 3"):
            client.rank("query", ["a document"])


def test_what_several_servers_give_one_gives_with_options() -> None:
    texts = CASES["texts"]
    with served(FOLDER / "mpnet", max_seq_len=64, keep_layers=True) as one:
        views = [View("REDUCE_MEAN", [-1]), View("REDUCE_MAX", [-2, -1], normalize=True), View("CLS_POOLED")]
        means, maxima, _ = one.encode(texts, views=views)
        cut = one.encode(texts[:6], truncate="error")
        assert_allclose(means, NUMBERS["mpnet/mean"], rtol=0, atol=2e-5)
    with served(FOLDER / "mpnet", max_seq_len=64, pooling_layer=(-2, -1), pooling_strategy="REDUCE_MAX",
                normalize=True) as other:  # fmt: skip
        assert_array_equal(other.encode(texts), maxima)
    with served(FOLDER / "mpnet", max_seq_len=64) as plain:
        assert_array_equal(plain.encode(texts[:6]), cut)
        with pytest.raises(BadRequest, match="layers: the server keeps none above -2, so not -1"):
            plain.encode(texts, layers=[-1])


def test_a_long_text_is_the_mean_of_its_chunks() -> None:
    text = " ".join(CASES["texts"])
    with served(FOLDER / "roberta", max_seq_len=32) as client:
        found = client.encode([text], truncate="chunks", offsets=True)
        assert found.chunks is not None
        (spans,) = found.chunks
        assert len(spans) > 3
        parts = client.encode([text[begin:end] for begin, end in spans])
        tokens = [client.encode([text[begin:end]], pooling="NONE") for begin, end in spans]
        weights = [np.any(one[0] != 0, axis=1).sum() - 2 for one in tokens]
        assert_allclose(found.embedding[0], np.average(parts, axis=0, weights=weights), rtol=0, atol=1e-5)
