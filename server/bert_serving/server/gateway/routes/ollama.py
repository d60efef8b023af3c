"""Ollama's API, as far as it is about vectors: `/api/embed`, `/api/embeddings`, and what its clients ask before."""

from __future__ import annotations

import time
from typing import Annotated, Any

from fastapi import FastAPI, Request
from pydantic import AfterValidator, BaseModel, Field, StrictBool, StrictInt, StrictStr
from starlette.responses import Response

from bert_serving.client.options import NO_OPTIONS, Options
from bert_serving.server.gateway.answers import OLLAMA_VECTOR, OLLAMA_VECTORS, answers, any_object
from bert_serving.server.gateway.asking import Asking, request_body
from bert_serving.server.gateway.description import OLLAMA
from bert_serving.server.gateway.dialect import one_of, truncate_of, vectors_as
from bert_serving.server.gateway.group import Group
from bert_serving.server.gateway.parsing import parsed
from bert_serving.server.gateway.problems import Shape
from bert_serving.server.gateway.schemas import MODEL, Inputs
from bert_serving.server.gateway.services import Services
from bert_serving.server.gateway.tei_info import info_of
from bert_serving.server.gateway.writing import as_field, as_json
from bert_serving.server.version import __version__

NO_DATE = "1970-01-01T00:00:00Z"

Name = Annotated[StrictStr, AfterValidator(lambda name: name.removesuffix(":latest"))]
"""Of a model: Ollama's clients put a tag behind it."""


class OllamaBody(BaseModel):
    """What both take. `keep_alive` and `options` are taken, and do nothing: the model is always there."""

    model: Name = Field("", description=MODEL)
    keep_alive: Any = Field(None, description="ignored: the model is always loaded")
    options: Any = Field(None, description="ignored")


class EmbedBody(OllamaBody):
    """Of `POST /api/embed`."""

    input: Inputs = Field(description="a text, or a list of texts", examples=[["Why is the sky blue?"]])
    truncate: StrictBool = Field(True, description="false: refuse a text that is too long, rather than cut its end")
    dimensions: StrictInt | None = Field(
        None, ge=1, description="keep only this many numbers of each vector, and scale it to length 1 again"
    )


class OldEmbedBody(OllamaBody):
    """Of `POST /api/embeddings`."""

    prompt: StrictStr = Field(description="a text", examples=["Why is the sky blue?"])


class ShowBody(BaseModel):
    """Of `POST /api/show`."""

    model: Name = Field("", description=MODEL, examples=[""])
    name: Name = Field("", description="older clients' name for model")


def add_ollama(app: FastAPI, services: Services) -> None:
    """Add the routes."""

    @app.post(
        "/api/embed",
        summary="Encode texts",
        tags=[OLLAMA],
        openapi_extra=request_body(EmbedBody),
        responses=answers(OLLAMA_VECTORS, Shape.PLAIN),
    )
    async def embed(request: Request) -> Response:
        """Returns a vector for each text, in the format of Ollama."""
        begin_ns = time.perf_counter_ns()

        def as_texts(body: EmbedBody) -> tuple[list[str], bool, Options]:
            options = vectors_as(
                normalizes=backend.facts.normalizes,
                dimensions=body.dimensions,
                truncate=None if body.truncate else truncate_of(body.truncate),
            )
            return one_of(body.input, "input"), False, options

        asked = Asking(request, EmbedBody)
        backend = await asked.find(services)
        reply = await asked.pooled(backend, as_texts)
        after = {
            "total_duration": time.perf_counter_ns() - begin_ns,
            "load_duration": 0,
            "prompt_eval_count": reply.num_tokens,
        }
        return as_field({"model": asked.about["model"] or backend.name}, "embeddings", reply.array, after)

    @app.post(
        "/api/embeddings",
        summary="Encode one text, for older clients",
        tags=[OLLAMA],
        openapi_extra=request_body(OldEmbedBody),
        responses=answers(OLLAMA_VECTOR, Shape.PLAIN),
    )
    async def old_embed(request: Request) -> Response:
        """Returns the vector of one text, in the format of older versions of Ollama."""
        asked = Asking(request, OldEmbedBody)
        backend = await asked.find(services)
        reply = await asked.pooled(backend, lambda body: (one_of(body.prompt, "prompt"), False, NO_OPTIONS))
        return as_json({"embedding": reply.array[0]})

    @app.get(
        "/api/version",
        summary="Tell the version",
        tags=[OLLAMA],
        responses=answers(any_object("The version"), Shape.PLAIN, 401),
    )
    async def version() -> Response:
        """Returns the version of this server, not of Ollama."""
        return as_json({"version": __version__})

    @app.get(
        "/api/tags",
        summary="List the models",
        tags=[OLLAMA],
        responses=answers(any_object("The models"), Shape.PLAIN, 401),
    )
    async def tags() -> Response:
        """Lists the models in the format of Ollama; `digest` is the fingerprint."""
        return as_json({"models": [_about(name, group) for name, group in services.groups.items()]})

    @app.post(
        "/api/show",
        summary="Describe a model",
        tags=[OLLAMA],
        openapi_extra=request_body(ShowBody),
        responses=answers(any_object("The model"), Shape.PLAIN, 401, 404, 422, 503),
    )
    async def show(request: Request) -> Response:
        """Describes a model in the format of Ollama."""
        content = bytearray(await request.body())
        body = await services.shared.read(lambda: parsed(content, ShowBody), len(content))
        group = services.group(body.model or body.name)
        info = info_of(await group.first.backend.fresh_status())
        model_info = {"general.architecture": "bert", "bert.context_length": info["max_input_length"]}
        return as_json({"details": _DETAILS, "model_info": model_info, "capabilities": ["embedding"]})


_DETAILS = {"parent_model": "", "format": "", "family": "bert", "families": ["bert"], "parameter_size": "",
            "quantization_level": ""}  # fmt: skip


def _about(name: str, group: Group) -> dict[str, Any]:
    digest = next(iter(group.fingerprints), "")
    return {"name": name, "model": name, "modified_at": NO_DATE, "size": 0, "digest": digest, "details": _DETAILS}
