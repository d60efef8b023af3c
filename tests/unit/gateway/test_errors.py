"""Health, keys, and whatever goes wrong: each request has an answer that says so."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from functools import lru_cache
from typing import Any

import httpx
import numpy as np
import pytest
from fastapi import FastAPI
from hypothesis import given, settings
from hypothesis import strategies as st
from serving import fake_config

from bert_serving.client import ServerBusy, ServerError, ServerRestarted, ServerStopping
from bert_serving.client.checks import check_texts
from bert_serving.client.options import Options
from bert_serving.client.wire import RowsReply
from bert_serving.server import BertServer, ConfigError, ServerConfig
from bert_serving.server.gateway.app import create_app
from bert_serving.server.gateway.backend import Backend
from bert_serving.server.gateway.problems import problem_of
from bert_serving.server.gateway.services import Services
from bert_serving.server.options import get_args_parser


async def asked(backend: Backend, method: str, path: str, **about: Any) -> httpx.Response:
    """Without a server."""
    return await sent(app_of(backend), method, path, **about)


def app_of(backend: Backend) -> FastAPI:
    return create_app(Services.of_one(backend, "fake"), fake_config(http_max_body=1))


async def sent(app: FastAPI, method: str, path: str, **about: Any) -> httpx.Response:
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://a") as http:
        return await http.request(method, path, **about)


@pytest.mark.parametrize(
    ("has_spoken", "silent_s", "is_draining", "status"),
    [
        (True, 1, False, 200),
        (True, 29, False, 200),
        (True, 31, False, 503),
        (True, 31, True, 200),
        (False, 599, False, 200),  # it loads
        (False, 601, False, 503),
    ],
)
async def test_it_is_live_until_the_service_has_been_silent_for_long(
    has_spoken: bool, silent_s: float, is_draining: bool, status: int
) -> None:
    backend = Backend(fake_config(start_timeout=600), None)
    backend._begun_s = time.monotonic() - silent_s
    if has_spoken:
        backend.status, backend._status_s = {"state": "loading"}, time.monotonic() - silent_s
    backend.is_draining = is_draining
    answer = await asked(backend, "GET", "/health/live")
    assert answer.status_code == status
    if status == 503:
        assert "has said nothing for" in answer.json()["error"]["message"]


async def test_a_slow_heartbeat_may_be_silent_for_longer() -> None:
    backend = Backend(fake_config(heartbeat_timeout=60), None)
    backend.status, backend._status_s = {"state": "ready"}, time.monotonic() - 100
    assert (await asked(backend, "GET", "/health/live")).status_code == 200


@pytest.mark.parametrize("key", ["", " ", "\n", "\t \r\n"])
def test_an_empty_key_is_refused(key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="-http_api_key is empty"):
        fake_config(http_api_key=key)
    monkeypatch.setenv("BERT_SERVING_HTTP_API_KEY", key)
    with pytest.raises(ConfigError, match="-http_api_key is empty"):
        BertServer(get_args_parser().parse_args(["-model_dir", "fake"]))


@pytest.mark.parametrize("key", ["sesame\n", "sesame\r\n", " sesame", "\tsesame \n\n"])
def test_a_key_from_a_file_has_no_line_end(key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert fake_config(http_api_key=key).http_api_key == "sesame"
    monkeypatch.setenv("BERT_SERVING_HTTP_API_KEY", key)
    args = get_args_parser().parse_args(["-model_dir", "fake"])
    assert ServerConfig.from_mapping(vars(args)).http_api_key == "sesame"


@pytest.mark.parametrize(
    ("key", "says"),
    [
        ("ses\0ame", r"U\+0000 at its character 4 of 7"),
        ("two\nlines", r"U\+000A"),
        ("ses\udcffame", r"U\+DCFF"),
        ("\ufeffsesame", r"U\+FEFF at its character 1 of 7"),  # the mark of a file that Notepad wrote
        ("ключ", r"U\+043A"),
        ("sesame\N{RIGHT SINGLE QUOTATION MARK}", r"U\+2019 at its character 7 of 7"),
    ],
)
def test_a_key_that_no_header_can_carry_is_refused(key: str, says: str) -> None:
    with pytest.raises(ConfigError, match=f"-http_api_key has {says}") as caught:
        fake_config(http_api_key=key)
    assert key not in str(caught.value)


@pytest.mark.parametrize(
    ("error", "status", "retry_after_s"),
    [
        (ServerRestarted("again"), 503, 1),
        (ServerStopping("the end"), 503, 5),
        (ServerBusy("full", retry_after_ms=1001), 429, 2),
    ],
    ids=str,
)
def test_what_is_worth_another_try_says_when(error: ServerError, status: int, retry_after_s: int) -> None:
    problem = problem_of(error)
    assert (problem.status, problem.retry_after_s) == (status, retry_after_s)


def test_an_error_that_nobody_knows_is_a_fault_of_ours() -> None:
    assert problem_of(ServerError("no")).status == 500


class FakeClient:
    """Takes what the routes hand on, and answers or raises."""

    def __init__(self, error: Exception | None = None) -> None:
        self._error = error
        self.first_id = 1
        self.known: dict[str, Any] = {}
        self._is_of_tokens = False
        self.status = {"identity": b"me", "pending_request": []}

    def write(self, texts: Any, is_tokenized: bool, options: Options, left_s: float) -> Any:
        self._is_of_tokens = any(view.pooling == "NONE" for view in options.views or ())
        return check_texts(texts, is_tokenized, is_pair=bool(options.is_pair))

    async def answer(self, checked: Any, due_s: float) -> RowsReply:
        if self._error is not None:
            raise self._error
        shape = (len(checked), 2, 3) if self._is_of_tokens else (len(checked), 3)
        return RowsReply(b"", 1, np.ones(shape, np.float32), None, [], len(checked))


def backend_with(client: FakeClient) -> Backend:
    backend = Backend(fake_config(), None)
    backend._client = client  # type: ignore[assignment]
    return backend


@pytest.mark.parametrize("error", [RuntimeError("boom"), MemoryError(), RecursionError(), KeyError("x")])
async def test_any_exception_is_answered(error: Exception) -> None:
    answer = await asked(backend_with(FakeClient(error)), "POST", "/encode", json={"texts": ["a"]})
    assert answer.status_code == 500
    assert "boom" not in answer.text


async def test_nothing_is_read_while_there_is_nobody_to_ask() -> None:
    read: list[bool] = []

    async def content() -> AsyncIterator[bytes]:
        read.append(True)
        yield b"{}"

    answer = await asked(Backend(fake_config(), None), "POST", "/encode", content=content())
    assert read == []
    assert answer.status_code == 503
    assert int(answer.headers["Retry-After"]) > 0


ODD = st.sampled_from(
    [b'"\\ud800"', b'"\\udc00\\ud800"', b"NaN", b"Infinity", b"-0", b"1e999", b"9" * 400, b"9" * 20, b'""',
     b'"\\u0000"', b"\xff", b'"\xed\xa0\x80"', b"[" * 2000, b"null", b"true",
     b'{"":{"":[]}}', b'"a"', b'["a"]', b"[1]", b"[]", b"{}"]
)  # fmt: skip


PATHS = ["/encode", "/v1/embeddings", "/embeddings", "/embed", "/embed_all", "/predict", "/rerank", "/v1/rerank",
         "/api/embed", "/api/embeddings", "/vectors"]  # fmt: skip
FIELDS = [b"texts", b"input", b"inputs", b"documents", b"query", b"text", b"property", b"prompt", b"id", b"dimensions",
          b"is_tokenized", b"is_pair", b"views", b"layers", b"truncate", b"truncation_direction", b"input_type",
          b"top_n", b"config", b"x", b"texts"]  # fmt: skip


@lru_cache
def one_app() -> FastAPI:
    """For all examples: to make it takes longer than to answer."""
    return app_of(backend_with(FakeClient()))


@given(
    st.sampled_from(PATHS),
    st.lists(st.tuples(st.sampled_from(FIELDS), ODD)),
    st.binary(max_size=20) | st.just(b""),
)
@settings(max_examples=300)
def test_no_body_makes_the_gateway_fail(path: str, fields: list[tuple[bytes, bytes]], after: bytes) -> None:
    content = b"{%s}%s" % (b",".join(b'"%s":%s' % field for field in fields), after)
    answer = asyncio.run(sent(one_app(), "POST", path, content=content))
    assert answer.status_code in (200, 400, 422), answer.text
    if answer.status_code != 200:
        error = answer.json()["error"]
        assert error["message"] if isinstance(error, dict) else error
