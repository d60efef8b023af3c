"""The routes. Each takes a body, asks the backend and writes an answer; what goes wrong is a Problem."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from importlib.resources import files
from typing import Any, Generic, TypeVar

import numpy as np
from fastapi import FastAPI, Request
from fastapi_offline import FastAPIOffline
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import ClientDisconnect
from starlette.responses import HTMLResponse, Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from bert_serving.client import BertServingError
from bert_serving.client.errors import quoted
from bert_serving.client.fingerprints import fingerprint_in
from bert_serving.client.wire import RowsReply
from bert_serving.server.config import ServerConfig
from bert_serving.server.gateway import guard
from bert_serving.server.gateway.backend import Backend
from bert_serving.server.gateway.held import Bodies
from bert_serving.server.gateway.metrics import CONTENT_TYPE, Metrics
from bert_serving.server.gateway.normal_form import IS_HEAD, NormalForm
from bert_serving.server.gateway.parsing import parsed
from bert_serving.server.gateway.problems import Problem
from bert_serving.server.gateway.refusals import answer_error
from bert_serving.server.gateway.schemas import TEXT_FIELDS, EmbeddingsBody, EncodeBody
from bert_serving.server.gateway.writing import OCTETS, as_embeddings, as_json, as_octets, as_results
from bert_serving.server.model_name import model_name
from bert_serving.server.version import __version__

EVENT_INTERVAL_S = 1.0
EVENTS = "text/event-stream"
MOST_VIEWERS = 100
FIRST_ERROR_STATUS = 400
_Body = TypeVar("_Body", bound=BaseModel)


def create_app(backend: Backend, config: ServerConfig) -> FastAPI:
    """The ASGI application."""
    metrics = Metrics(lambda: backend.status, lambda: backend.trouble is None)

    def count(route: str, status: int, took_s: float) -> None:
        metrics.count(route, status, took_s)
        backend.errors += status >= FIRST_ERROR_STATUS

    app = FastAPIOffline(  # its page of documentation needs no internet
        title="bert-as-service",
        version=__version__,
        docs_url="/docs",
        redoc_url=None,
        static_url="/docs/static",
        redirect_slashes=False,
        exception_handlers=dict.fromkeys(
            (Problem, BertServingError, HTTPException, ClientDisconnect, Exception),
            answer_error,
        ),
        middleware=[
            Middleware(
                CORSMiddleware,
                allow_origins=[origin.strip() for origin in config.cors.split(",")],
                allow_methods=["GET", "HEAD", "POST"],
                allow_headers=["*"],
                expose_headers=["X-Shape", "X-Dtype", "Retry-After"],
            ),
            Middleware(NormalForm),
            Middleware(
                guard.Guard,
                api_key=config.http_api_key,
                max_body=config.http_max_body << 20,
                bodies=Bodies(max(config.http_max_bodies, config.http_max_body) << 20),
                count=count,
            ),
        ],
    )
    _add_encoding(app, backend, model_name(config))
    _add_operations(app, backend, metrics)
    _add_pages(app, backend)
    return app


# -- encoding ---------------------------------------------------------------------------------------------------------


def _add_encoding(app: FastAPI, backend: Backend, model: str) -> None:
    @app.post("/encode", openapi_extra=_request_body(EncodeBody), responses=_ANSWERS)
    async def encode(request: Request) -> Response:
        """Vectors of texts, as bert-as-service 1.10 answered; by `Accept: application/octet-stream` as raw float32."""
        asked = Asking(request, EncodeBody)
        reply = await asked.of(backend, lambda body: (body.texts, body.is_tokenized))
        if OCTETS in request.headers.get("accept", "").lower():
            return as_octets(reply.array)
        return as_results(reply, asked.about["id"], asked.about["show_tokens"])

    @app.post("/v1/embeddings", openapi_extra=_request_body(EmbeddingsBody), responses=_ANSWERS)
    @app.post("/embeddings", include_in_schema=False)
    async def embeddings(request: Request) -> Response:
        """Vectors of texts, as OpenAI's API answers."""
        if backend.gives_matrices:
            raise Problem(422, "this server gives a vector for each token (-pooling_strategy NONE): use /encode")
        asked = Asking(request, EmbeddingsBody)
        reply = await asked.of(backend, lambda body: _as_texts(body.input))
        vectors = _cut(reply.array, asked.about["dimensions"])
        usage = {"prompt_tokens": reply.num_tokens, "total_tokens": reply.num_tokens}
        after = {"model": asked.about["model"] or model, "usage": usage}
        return as_embeddings(vectors, asked.about["encoding_format"] == "base64", after)

    def about_model() -> dict[str, Any]:
        shown = {"id": model, "object": "model", "created": 0, "owned_by": "bert-serving"}
        return {**shown, "fingerprint": fingerprint_in(backend.status)}

    @app.get("/v1/models", response_class=Response)
    @app.get("/models", include_in_schema=False)
    async def models() -> Response:
        """The one model there is; its fingerprint is empty while it loads."""
        return as_json({"object": "list", "data": [about_model()]})

    @app.get("/v1/models/{name:path}", response_class=Response, responses={404: {"description": "another name"}})
    @app.get("/models/{name:path}", include_in_schema=False)
    async def one_model(name: str) -> Response:
        """The same, by its name."""
        if name != model:
            raise Problem(404, f"there is no model {quoted(name)} here: there is {model}", param="model")
        return as_json(about_model())


class Asking(Generic[_Body]):
    """A request for vectors. Its body is read when there is room for it, and parsed when it has its turn.

    `about` are the fields of the body but its texts, once there is an answer.
    """

    def __init__(self, request: Request, kind: type[_Body]) -> None:
        self._request = request
        self._kind = kind
        self.about: dict[str, Any] = {}

    async def of(self, backend: Backend, as_texts: Callable[[_Body], tuple[Any, bool]]) -> RowsReply:
        """The answer to the texts that `as_texts` finds. Raises Problem, and what the client raises."""
        backend.check_ready()  # before anything is read
        content = bytearray()
        async for piece in self._request.stream():
            content += piece
        kept = [content]
        num_bytes = len(content)
        del content, piece

        def read() -> tuple[Any, bool]:
            body = parsed(kept.pop(), self._kind)  # nobody else has it: as texts and as bytes at once it is too much
            self.about = body.model_dump(exclude=set(TEXT_FIELDS))
            return as_texts(body)

        return await backend.encode(read, num_bytes, self._request.scope[guard.AT_END])


def _as_texts(given: Any) -> tuple[list[Any], bool]:
    """OpenAI's input as the client takes texts, and whether they are token ids. Problem if it is none."""
    if given in ("", []):
        raise Problem(400, "input is empty: give a text, or a list of texts", param="input")
    if isinstance(given, str):
        return [given], False
    if not isinstance(given, list):
        raise Problem(422, f"input must be a text or a list, not {type(given).__name__}", param="input")
    if type(given[0]) is int:
        return [given], True
    for index, ids in enumerate(given):
        if isinstance(ids, list) and not all(type(number) is int for number in ids):
            raise Problem(422, f"input[{index}] must hold token ids, whole numbers, alone", param="input", index=index)
    return given, isinstance(given[0], list)


def _cut(array: Any, dimensions: int | None) -> Any:
    """The first `dimensions` of each vector, scaled to length 1 again; `[B, D]` as it is without."""
    if dimensions is None:
        return array
    if dimensions > array.shape[1]:
        raise Problem(422, f"a vector has {array.shape[1]} dimensions, not {dimensions}", param="dimensions")
    shorter = np.ascontiguousarray(array[:, :dimensions])
    lengths = np.linalg.norm(shorter, axis=1, keepdims=True)
    return shorter / np.where(lengths == 0, 1, lengths)


# -- operations -------------------------------------------------------------------------------------------------------


def _add_operations(app: FastAPI, backend: Backend, metrics: Metrics) -> None:
    @app.get("/status/server", response_class=Response)
    async def server_status() -> Response:
        """The server's arguments, and what it has done; `client` is a hash, and addresses inside are hidden."""
        return as_json(await backend.fresh_status())

    @app.get("/status/client", response_class=Response)
    async def client_status() -> Response:
        """The client by which the gateway asks the server; `identity` is a hash of its own."""
        return as_json(backend.client_status)

    @app.get("/health/live", response_class=Response, responses={503: {"description": "beyond mending itself"}})
    async def live() -> Response:
        """Whether this process answers, and the service behind it has said anything of late."""
        if backend.why_dead is not None:
            raise Problem(503, backend.why_dead, retry_after_s=1)
        return as_json({"status": "live"})

    @app.get("/health", include_in_schema=False)
    @app.get("/health/ready", response_class=Response, responses={503: {"description": "not ready"}})
    async def ready() -> Response:
        """Whether every process is well and every worker has encoded a known sentence of late."""
        if backend.trouble is not None:
            raise Problem(503, backend.trouble, retry_after_s=1)
        return as_json({"status": "ready"})

    @app.get("/metrics", response_class=Response)
    async def scrape() -> Response:
        """For Prometheus."""
        return Response(metrics.as_text(), media_type=CONTENT_TYPE)


# -- pages ------------------------------------------------------------------------------------------------------------


def _add_pages(app: FastAPI, backend: Backend) -> None:
    page = files("bert_serving.server.gateway").joinpath("dashboard.html").read_text("utf-8")

    @app.get("/", include_in_schema=False)
    async def dashboard() -> HTMLResponse:
        return HTMLResponse(page, headers={"Content-Security-Policy": "default-src 'self' 'unsafe-inline' data:"})

    @app.get("/events", include_in_schema=False)
    async def events(request: Request) -> Response:
        if request.scope[IS_HEAD]:
            response = Response(media_type=EVENTS)
            del response.headers["Content-Length"]  # the stream has none
            return response
        if backend.viewers >= MOST_VIEWERS:
            raise Problem(429, f"{backend.viewers} dashboards are open already", retry_after_s=60)
        return EventStream(backend)


class EventStream(StreamingResponse):
    """A viewer's, who counts from the moment that it is made: between that and its first event others may come."""

    def __init__(self, backend: Backend) -> None:
        super().__init__(_events(backend), media_type=EVENTS)
        self._backend = backend
        backend.viewers += 1

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._backend.viewers -= 1


async def _events(backend: Backend) -> AsyncIterator[str]:
    """For the dashboard: at first the last hour, then what is new each second."""
    sent_s = 0.0
    while not backend.is_draining:
        samples = [sample for sample in backend.history.samples if (sample["time_s"] or 0.0) > sent_s]
        if samples:
            sent_s = samples[-1]["time_s"] or 0.0
        http = {"at_work": backend.slots.at_work, "waiting": backend.slots.waiting, "errors": backend.errors}
        content = {"status": backend.status, "trouble": backend.trouble, "http": http, "samples": samples}
        yield f"data: {json.dumps(content)}\n\n"
        await asyncio.sleep(EVENT_INTERVAL_S)


def _request_body(kind: type[BaseModel]) -> dict[str, Any]:
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": kind.model_json_schema()}}}}


_ANSWERS: dict[int | str, dict[str, Any]] = {
    status: {"description": text}
    for status, text in {
        400: "no JSON, or nothing to encode",
        401: "no key, or a wrong one",
        413: "the body is too large",
        415: "the body is compressed",
        422: "not what this route takes; `index` names the text",
        429: "too much at once; see Retry-After",
        503: "loading or stopping",
        504: "not done in time",
    }.items()
}
