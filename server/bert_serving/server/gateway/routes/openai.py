"""OpenAI's API: `/v1/embeddings` and `/v1/models`."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI, Request
from starlette.responses import Response

from bert_serving.client.errors import quoted
from bert_serving.client.options import Options
from bert_serving.server.gateway.answers import EMBEDDINGS, answers, any_object
from bert_serving.server.gateway.asking import Asking, request_body
from bert_serving.server.gateway.backend import Backend
from bert_serving.server.gateway.description import OPENAI
from bert_serving.server.gateway.dialect import prompt_of, truncate_of, vectors_as
from bert_serving.server.gateway.group import Group
from bert_serving.server.gateway.problems import Problem, Shape
from bert_serving.server.gateway.schemas import EmbeddingsBody
from bert_serving.server.gateway.services import Services
from bert_serving.server.gateway.token_ids import AsTexts
from bert_serving.server.gateway.writing import as_embeddings, as_json


def add_openai(app: FastAPI, services: Services, of_ids: AsTexts) -> None:
    """Add the routes; `of_ids` says what becomes of token ids."""

    @app.post(
        "/v1/embeddings",
        summary="Create embeddings",
        tags=[OPENAI],
        openapi_extra=request_body(EmbeddingsBody, examples=_EXAMPLES),
        responses=answers(EMBEDDINGS),
    )
    @app.post("/embeddings", include_in_schema=False)
    async def embeddings(request: Request) -> Response:
        """Returns a vector for each input, in the format of OpenAI's API."""
        asked = Asking(request, EmbeddingsBody)
        backend = await asked.find(services)

        def as_texts(body: EmbeddingsBody) -> tuple[list[Any], bool, Options]:
            roles = {name: getattr(body, name) for name in ("input_type", "prompt_name", "task_type", "task")}
            asked.by_facts = any(roles.values())
            return *_as_texts(body.input, of_ids), _options(body, roles, backend)

        reply = await asked.pooled(backend, as_texts)
        usage = {"prompt_tokens": reply.num_tokens, "total_tokens": reply.num_tokens}
        after = {"model": asked.about["model"] or backend.name, "usage": usage}
        return as_embeddings(reply.array, asked.about["encoding_format"] == "base64", after)

    def about(name: str, group: Group) -> dict[str, Any]:
        found = group.fingerprints
        shown = {"id": name, "object": "model", "created": 0, "owned_by": "bert-serving"}
        return {**shown, "fingerprint": found[0] if found else "", "fingerprints": found}

    @app.get("/v1/models", summary="List the models", tags=[OPENAI], responses=answers(_MODELS, Shape.NESTED, 401))
    @app.get("/models", include_in_schema=False)
    async def models() -> Response:
        """Lists the models that requests may name.

        `fingerprints` has those of all services of a model: none while it loads, several while it is being replaced.
        `fingerprint` is the first of them, or empty.
        """
        return as_json({"object": "list", "data": [about(name, group) for name, group in services.groups.items()]})

    @app.get(
        "/v1/models/{name:path}",
        summary="Describe one model",
        tags=[OPENAI],
        responses=answers(_MODEL, Shape.NESTED, 401, 404),
    )
    @app.get("/models/{name:path}", include_in_schema=False)
    async def one_model(name: str) -> Response:
        """Describes the model of that name."""
        return as_json(about(name, services.named(name)))


def _options(body: EmbeddingsBody, roles: dict[str, str | None], backend: Backend) -> Options:
    """What OpenAI has no name for is taken under the names of others. What is in none of the fields does nothing."""
    _check_others(body)
    return vectors_as(
        normalizes=backend.facts.normalizes,
        normalize=body.normalized if body.normalize is None else body.normalize,
        dimensions=body.dimensions,
        prompt=prompt_of(backend.facts.prompts, body.prompt, **roles),
        truncate=truncate_of(body.truncate),
    )


_EXAMPLES = {
    "One text": {"input": "hello world"},
    "Two texts": {"input": ["First do it", "then do it right"]},
    "As base64": {"input": ["First do it"], "encoding_format": "base64"},
}
_MODELS, _MODEL = any_object("The models"), any_object("The model")

_REFUSED = {
    "late_chunking": (False, "chunks are not encoded together: truncate 'chunks' gives the mean of a text's chunks"),
    "truncate_prompt_tokens": (-1, "a text is cut where the server's -max_seq_len says"),
    "add_special_tokens": (True, "each text has its special tokens"),
    "embedding_type": ("float", "vectors are of floats: see encoding_format"),
}
"""Fields of others that would change the answer: the value that can be had, and why no other."""


def _check_others(body: EmbeddingsBody) -> None:
    """Problem 422 for what is asked under another server's name for it, and cannot be had."""
    for name, (usual, why) in _REFUSED.items():
        if (value := getattr(body, name)) not in (None, usual):
            raise Problem(422, f"{name} cannot be {quoted(value)}: {why}", param=name)
    if None not in (body.normalize, body.normalized) and body.normalize != body.normalized:
        raise Problem(422, "normalize and normalized say different things: send one of them", param="normalized")


def _as_texts(given: Any, of_ids: AsTexts) -> tuple[list[Any], bool]:
    """OpenAI's input as the client takes texts, and whether they are token ids. Problem if it is none."""
    if given in ("", []):
        raise Problem(400, "input is empty: give a text, or a list of texts", param="input")
    if isinstance(given, str):
        return [given], False
    if not isinstance(given, list):
        raise Problem(422, f"input must be a text or a list, not {type(given).__name__}", param="input")
    if type(given[0]) is int:
        return of_ids([given])
    return of_ids(given) if any(isinstance(one, list) for one in given) else (given, False)
