"""Token ids sent to `/v1/embeddings`, as LangChain does by default."""

from __future__ import annotations

from typing import Any

import httpx
import numpy as np
import openai
import pytest
from fake_engine import expected
from gateway_support import Browse, num_sent


def ask(http: httpx.Client, given: Any) -> httpx.Response:
    return http.post("/v1/embeddings", json={"input": given})


def test_ids_are_refused_and_nothing_of_them_is_encoded(http: httpx.Client) -> None:
    before = num_sent(http)
    for given in ([9906, 1917], [[9906, 1917], [3]]):
        answer = ask(http, given)
        error = answer.json()["error"]
        assert (answer.status_code, error["param"], error["index"]) == (422, "input", 0)
        assert "OpenAIEmbeddings sends texts with check_embedding_ctx_length=False" in error["message"]
        assert "-openai_token_ids" in error["message"]
    assert num_sent(http) == before


def test_ids_of_the_models_own_vocabulary(browse: Browse) -> None:
    http = browse(openai_token_ids="model")
    with openai.OpenAI(base_url=f"{http.base_url}/v1", api_key="none", max_retries=0) as client:
        for given, texts in (([[1, 2], [3]], ["1 2", "3"]), ([4, 5], ["4 5"])):
            answer = client.embeddings.create(model="bert", input=given)
            np.testing.assert_allclose([item.embedding for item in answer.data], expected(texts), rtol=1e-6)
    for bad, index in (([[1], ["a"]], 1), ([[1], "a"], 1), ([[]], 0), ([1, "a"], 0)):
        refusal = ask(http, bad)
        assert (refusal.status_code, refusal.json()["error"]["index"]) == (422, index), refusal.text


@pytest.mark.parametrize("given", [["a"], "a"])
def test_texts_are_taken_whatever_ids_are(browse: Browse, given: Any) -> None:
    for option in ("refuse", "model"):
        answer = ask(browse(openai_token_ids=option), given)
        np.testing.assert_allclose(answer.json()["data"][0]["embedding"], expected(["a"])[0], rtol=1e-6)
