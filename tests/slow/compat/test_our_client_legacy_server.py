"""This client against the server of 1.10 as published."""

from __future__ import annotations

import asyncio
import json
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from folders import GOLDEN

from bert_serving.client import AsyncBertClient, BertClient, ConcurrentBertClient, TruncationWarning

pytestmark = pytest.mark.timeout(1_200)

CASE = "case_00"  # all defaults, as the server here is started but for the tokens
TOLERANCE = 1e-5


@pytest.fixture(scope="module")
def texts() -> list[str]:
    case = json.loads((GOLDEN / "cases.json").read_text())
    plain: list[str] = case["texts"]["plain"]
    return plain


@pytest.fixture(scope="module")
def vectors() -> np.ndarray[Any, Any]:
    with np.load(GOLDEN / "vectors.npz") as golden:
        rows: np.ndarray[Any, Any] = golden[CASE]
        return rows


@pytest.fixture
def ports(legacy_server: Any) -> dict[str, Any]:
    return {"port": legacy_server.port, "port_out": legacy_server.port_out, "timeout": 60_000}


@pytest.fixture
def client(ports: dict[str, Any]) -> Iterator[BertClient]:
    with BertClient(**ports, check_length=False) as connected:
        yield connected


def assert_close(rows: Any, expected: np.ndarray[Any, Any]) -> None:
    np.testing.assert_allclose(rows, expected, rtol=0, atol=TOLERANCE)


def test_plain_texts(client: BertClient, texts: list[str], vectors: np.ndarray[Any, Any]) -> None:
    rows = client.encode(texts)
    assert_close(rows, vectors)
    assert rows.flags.writeable


def test_tokenized_texts(client: BertClient) -> None:
    plain, plain_tokens = client.encode(["hello world", "good day"], show_tokens=True)
    words = [tokens[1:-1] for tokens in plain_tokens]
    rows, tokens = client.encode(words, is_tokenized=True, show_tokens=True)
    assert tokens == plain_tokens
    assert_close(rows, plain)


def test_tokens(client: BertClient, texts: list[str]) -> None:
    (case,) = (case for case in json.loads((GOLDEN / "cases.json").read_text())["cases"] if case["name"] == CASE)
    _, tokens = client.encode(texts, show_tokens=True)
    assert tokens == case["tokens"]


def test_fetch(client: BertClient, texts: list[str], vectors: np.ndarray[Any, Any]) -> None:
    for text in texts:
        client.encode([text], blocking=False)
    responses = sorted(client.fetch(delay=0.1), key=lambda response: response.id)
    assert [response.id for response in responses] == list(range(2, 2 + len(texts)))
    assert_close(np.concatenate([response.embedding for response in responses]), vectors)


def test_fetch_all(client: BertClient, texts: list[str], vectors: np.ndarray[Any, Any]) -> None:
    for text in texts:
        client.encode([text], blocking=False)
    assert_close(client.fetch_all(concat=True), vectors)
    assert client.fetch_all() is None


def test_encode_async(client: BertClient, texts: list[str], vectors: np.ndarray[Any, Any]) -> None:
    responses = list(client.encode_async(([text] for text in texts), delay=0))
    responses.sort(key=lambda response: response.id)
    assert_close(np.concatenate([response.embedding for response in responses]), vectors)


def test_clones_listen(ports: dict[str, Any], texts: list[str], vectors: np.ndarray[Any, Any]) -> None:
    shared: dict[str, Any] = {**ports, "identity": "shared", "check_length": False}
    with BertClient(**shared) as speaker, BertClient(**shared) as clone:
        heard = clone.listen(timeout=60_000)
        speaker.encode(texts, blocking=False)
        assert_close(next(heard).embedding, vectors)
        assert_close(speaker.fetch_all(concat=True), vectors)


def test_identities_of_one_prefix_do_not_mix(ports: dict[str, Any]) -> None:
    """The server of 1.10 publishes to both."""
    with BertClient(**ports, identity="a") as short, BertClient(**ports, identity="ab") as long:
        heard = short.listen(timeout=500)
        long.encode(["hello world"])
        assert list(heard) == []


def test_config_and_status(client: BertClient) -> None:
    config, status = client.server_config, client.server_status
    assert config["server_version"] == "1.10.0"
    assert config["max_seq_len"] == 25
    assert "statistic" not in config
    assert status["statistic"]["num_data_request"] > 0


def test_length_warning(ports: dict[str, Any]) -> None:
    with BertClient(**ports) as client:
        with pytest.warns(TruncationWarning, match=r"1 of 2 texts .*max_seq_len=25.*indices 1\)"):
            client.encode(["short", "长" * 26])
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            client.encode(["short", "长" * 25])


def test_many_short_lived_clients(ports: dict[str, Any]) -> None:
    for _ in range(20):
        with BertClient(**ports) as client:
            assert client.encode(["hello world"]).shape == (1, 48)


def test_pool(ports: dict[str, Any]) -> None:
    with ConcurrentBertClient(max_concurrency=2, **ports) as pool:
        assert pool.encode(["hello world"]).shape == (1, 48)
        assert pool.server_config["server_version"] == "1.10.0"


async def test_asyncio(ports: dict[str, Any], texts: list[str], vectors: np.ndarray[Any, Any]) -> None:
    async with AsyncBertClient(**ports, check_length=False) as client:
        rows = await asyncio.gather(*(client.encode([text]) for text in texts))
        assert_close(np.concatenate(rows), vectors)
