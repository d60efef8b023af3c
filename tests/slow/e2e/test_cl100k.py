"""OpenAI's token ids, with its real vocabulary: the vectors are those of the texts."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import tiktoken
from fake_engine import expected
from gateway_support import wait_until_ready
from openai_vocabulary import NoVocabulary, cl100k_folder
from ports import free_ports
from serving import fake_config

from bert_serving.server import BertServer
from bert_serving.server.gateway.cl100k import FOLDER_VARIABLE

TEXTS = [
    "First do it",
    "then do it right \N{GRINNING FACE}",
    "日本語のテキスト, naïve café",
    "<|endoftext|>",
    "  blanks,\n\n\tlines  ",
]


@pytest.fixture(scope="module")
def vocabulary() -> Path:
    try:
        return cl100k_folder()
    except NoVocabulary as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def reading(vocabulary: Path) -> Iterator[httpx.Client]:
    """A client of a server that knows the vocabulary, and can fetch nothing."""
    with ExitStack() as opened:
        patch = opened.enter_context(pytest.MonkeyPatch.context())
        patch.setenv(FOLDER_VARIABLE, str(vocabulary))
        for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"):
            patch.setenv(name, "http://127.0.0.1:9")
        (port,) = free_ports(1)
        opened.enter_context(BertServer(fake_config(http_port=port, http_host="127.0.0.1", openai_token_ids="cl100k")))
        http = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60, trust_env=False)
        yield wait_until_ready(opened.enter_context(http))


def ask(http: httpx.Client, given: Any) -> httpx.Response:
    return http.post("/v1/embeddings", json={"input": given})


def test_ids_give_the_vectors_of_their_texts(reading: httpx.Client) -> None:
    ids = tiktoken.get_encoding("cl100k_base").encode_batch(TEXTS, allowed_special="all")
    answer = ask(reading, ids).json()
    np.testing.assert_allclose([item["embedding"] for item in answer["data"]], expected(TEXTS), rtol=1e-6)
    assert answer == ask(reading, TEXTS).json()  # the tokens that were used too
    alone = ask(reading, ids[0]).json()
    np.testing.assert_allclose(alone["data"][0]["embedding"], expected(TEXTS[:1])[0], rtol=1e-6)


def test_ids_that_are_no_text_are_refused(reading: httpx.Client) -> None:
    cut = tiktoken.get_encoding("cl100k_base").encode("\N{LINEAR B SYLLABLE B008 A}")[:-1]
    blank = tiktoken.get_encoding("cl100k_base").encode(" \n ")
    for bad, says in (
        ([[9906], [100256]], "the token id 100256, which cl100k does not have: its last one is 100276"),
        ([[9906], [100277]], "the token id 100277"),
        ([[9906], [-1]], "the token id -1"),
        ([[9906], cut], "is no UTF-8"),
        ([[9906], blank], "must not be blank"),
        ([[9906], []], "must not be blank"),
    ):
        answer = ask(reading, bad)
        error = answer.json()["error"]
        assert (answer.status_code, error["index"]) == (422, 1), error
        assert says in error["message"]
