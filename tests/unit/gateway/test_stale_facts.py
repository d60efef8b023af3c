"""A service that gets another model between the moment that it says what it has, and the answer."""

from __future__ import annotations

from typing import Any

import httpx
import numpy as np
import pytest
from serving import fake_config

from bert_serving.client.options import Options
from bert_serving.client.wire import RowsReply
from bert_serving.server.gateway.app import create_app
from bert_serving.server.gateway.backend import Backend
from bert_serving.server.gateway.services import Services


class Changed:
    """A client of a service that said it has the model `old`, and answers as `new`."""

    def __init__(self, new: str) -> None:
        self.known = {"model": {"fingerprint": "old"}, "prompts": {"query": "Q: "}, "labels": ["one"]}
        self._new = new

    def write(self, texts: Any, is_tokenized: bool, options: Options, left_s: float) -> Any:
        return texts

    async def answer(self, texts: Any, due_s: float) -> RowsReply:
        array = np.ones((len(texts), 1), np.float32)
        return RowsReply(b"", 1, array, None, [], 1, fingerprint="with options", model=self._new)


async def asked(new: str, path: str, body: dict[str, Any]) -> httpx.Response:
    backend = Backend(fake_config(), None)
    backend._client = Changed(new)  # type: ignore[assignment]
    app = create_app(Services.of_one(backend, "fake"), fake_config())
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://a") as http:
        return await http.post(path, json=body)


BY_FACTS: list[tuple[str, dict[str, Any]]] = [
    ("/embed", {"inputs": "a"}),
    ("/predict", {"inputs": "a"}),
    ("/rerank", {"query": "a", "documents": ["b"]}),
    ("/v1/embeddings", {"input": "a", "input_type": "query"}),
    ("/vectors", {"text": "a"}),
]


@pytest.mark.parametrize(("path", "body"), BY_FACTS)
async def test_what_was_asked_for_another_model_is_refused(path: str, body: dict[str, Any]) -> None:
    assert (await asked("old", path, body)).status_code == 200
    refused = await asked("new", path, body)
    assert refused.status_code == 503
    assert refused.headers["Retry-After"] == "1"
    assert "another model" in refused.text


@pytest.mark.parametrize(("path", "body"), [("/encode", {"texts": ["a"]}), ("/v1/embeddings", {"input": "a"})])
async def test_what_was_asked_for_any_model_is_answered(path: str, body: dict[str, Any]) -> None:
    assert (await asked("new", path, body)).status_code == 200
