"""Real weights through a running server: equal to sentence-transformers, and independent of the batch."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from command import Command
from minilm import MINILM_TEXTS, minilm_vectors

from bert_serving.client import BertClient


@pytest.fixture(scope="module")
def server(minilm: Path) -> Iterator[Command]:
    with Command(
        "-model_dir", str(minilm), "-cpu", "-pooling_layer", "-1", "-no_normalize", "-num_worker", "2"
    ) as server:
        yield server.wait_until_ready()


@pytest.fixture
def client(server: Command) -> Iterator[BertClient]:
    with BertClient(**server.ports, check_length=False) as client:
        yield client


def test_the_folder_brings_its_length_along(server: Command, client: BertClient) -> None:
    config = client.server_config
    assert (config["max_seq_len"], config["pooling_strategy"], config["pooling_layer"]) == (256, 2, [-1])


def test_vectors_equal_those_of_sentence_transformers(client: BertClient) -> None:
    expected = minilm_vectors()
    got = client.encode(MINILM_TEXTS)
    lengths = np.linalg.norm(got, axis=1) * np.linalg.norm(expected, axis=1)
    assert ((got * expected).sum(axis=1) / lengths).min() > 0.99999
    np.testing.assert_allclose(got, expected, atol=1e-5, rtol=0)


def test_a_row_does_not_depend_on_its_batch(server: Command, client: BertClient) -> None:
    together = client.encode(MINILM_TEXTS)
    alone = np.concatenate([client.encode([text]) for text in MINILM_TEXTS[:40]])
    np.testing.assert_allclose(together[:40], alone, atol=1e-5, rtol=0)

    def one_client(number: int) -> None:
        order = np.random.default_rng(number).permutation(len(MINILM_TEXTS))[: 10 + 5 * number]
        with BertClient(**server.ports, check_length=False) as other:
            mixed = other.encode([MINILM_TEXTS[position] for position in order])
        np.testing.assert_allclose(mixed, together[order], atol=1e-5, rtol=0)

    with ThreadPoolExecutor(8) as pool:
        for done in [pool.submit(one_client, number) for number in range(8)]:
            done.result(timeout=120)
