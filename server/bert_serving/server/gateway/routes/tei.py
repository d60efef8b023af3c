"""The API of Hugging Face's text-embeddings-inference: `/embed`, `/embed_all`, `/predict`, `/tokenize`, `/info`.

Its `/rerank` stands in `rerank.py`, where the dialects that share that path are told apart.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import FastAPI, Request
from pydantic import BaseModel, Field, StrictBool, StrictInt, StrictStr, WithJsonSchema
from starlette.responses import Response

from bert_serving.client.errors import RowFailed
from bert_serving.client.options import Options
from bert_serving.client.scores import labelled
from bert_serving.client.wire import RowsReply
from bert_serving.server.gateway.answers import LABELS, MATRICES, TOKENS, VECTORS, answers, any_object
from bert_serving.server.gateway.asking import Asking, request_body
from bert_serving.server.gateway.backend import Backend
from bert_serving.server.gateway.description import TEI
from bert_serving.server.gateway.dialect import one_of, prompt_of, truncate_of, vectors_as
from bert_serving.server.gateway.problems import Problem, Shape
from bert_serving.server.gateway.schemas import MODEL, ROLE, TEXT, Inputs, ModelName
from bert_serving.server.gateway.services import Services
from bert_serving.server.gateway.tei_info import info_of
from bert_serving.server.gateway.writing import as_json, as_list, as_matrices

_TOO_LONG = re.compile(r"has more than \d+ tokens")
_PAIR = {"type": "array", "items": TEXT, "minItems": 1, "maxItems": 2}
Sequences = Annotated[Any, WithJsonSchema({"anyOf": [TEXT, _PAIR, {"type": "array", "items": _PAIR, "minItems": 1}]})]


class TeiBody(BaseModel):
    """What all of them take."""

    model: StrictStr = Field("", description=MODEL)
    truncate: StrictBool | None = Field(None, description="false: refuse a text that is too long, rather than cut it")
    truncation_direction: StrictStr | None = Field(None, description="which end to cut: right or left")


class EmbedAllBody(TeiBody):
    """Of `POST /embed_all`."""

    inputs: Inputs = Field(description="a text, or a list of texts", examples=[["What is Deep Learning?"]])
    prompt_name: StrictStr | None = Field(None, description=ROLE)


class EmbedBody(EmbedAllBody):
    """Of `POST /embed`."""

    normalize: StrictBool = Field(True, description="scale vectors to length 1")
    dimensions: StrictInt | None = Field(None, ge=1, description="keep only this many numbers of each vector")


class TokenizeBody(BaseModel):
    """Of `POST /tokenize`."""

    model: StrictStr = Field("", description=MODEL)
    inputs: Inputs = Field(description="a text, or a list of texts", examples=[["What is Deep Learning?"]])
    add_special_tokens: StrictBool = Field(True, description="include special tokens such as [CLS]")
    prompt_name: StrictStr | None = Field(None, description=ROLE)


class PredictBody(TeiBody):
    """Of `POST /predict`."""

    inputs: Sequences = Field(
        description="a text, a pair [a, b], or several: [[a], [b]] or [[a, b], [c, d]]", examples=["I like you."]
    )
    raw_scores: StrictBool = Field(False, description="return logits instead of probabilities")


def add_tei(app: FastAPI, services: Services) -> None:
    """Add the routes."""

    @app.post(
        "/embed",
        summary="Encode texts",
        tags=[TEI],
        openapi_extra=request_body(EmbedBody),
        responses=answers(VECTORS, Shape.TEI),
    )
    async def embed(request: Request) -> Response:
        """Returns a vector for each text, of length 1 unless `normalize` is false."""
        asked = Asking(request, EmbedBody, by_facts=True)
        backend = await asked.find(services)

        def as_texts(body: EmbedBody) -> tuple[list[str], bool, Options]:
            view = {"normalize": body.normalize, "dimensions": body.dimensions}
            return one_of(body.inputs, "inputs"), False, _options(body, backend, **view)

        return as_list((await answered(asked.pooled(backend, as_texts, "/embed_all"))).array)

    @app.post(
        "/embed_all",
        summary="Encode texts, a vector for each token",
        tags=[TEI],
        openapi_extra=request_body(EmbedAllBody),
        responses=answers(MATRICES, Shape.TEI),
    )
    async def embed_all(request: Request) -> Response:
        """Returns a vector for each token of each text, special tokens included, without pooling."""
        asked = Asking(request, EmbedAllBody, by_facts=True)
        backend = await asked.find(services)

        def as_texts(body: EmbedAllBody) -> tuple[list[str], bool, Options]:
            return one_of(body.inputs, "inputs"), False, _options(body, backend, pooling="NONE", normalize=False)

        return as_matrices((await answered(asked.of(backend, as_texts))).array)

    @app.post(
        "/predict",
        summary="Classify texts",
        tags=[TEI],
        openapi_extra=request_body(PredictBody),
        responses=answers(LABELS, Shape.TEI),
    )
    async def predict(request: Request) -> Response:
        """Returns the labels of a text or a pair with their scores, best first, and for several texts a list of these.

        The model must have a classification head. A list of two texts is a pair; send several texts as
        `[["a"], ["b"]]`.
        """
        labels: list[str] = []
        is_one = False

        def as_texts(body: PredictBody) -> tuple[list[Any], bool, Options]:
            nonlocal is_one
            texts, is_pair, is_one = sequences_of(body.inputs)
            labels[:] = backend.facts.labels
            truncate = truncate_of(body.truncate, body.truncation_direction)
            pooling = scores_of(labels, raw=body.raw_scores)
            return texts, False, Options.asked(pooling=pooling, is_pair=is_pair, truncate=truncate)

        asked = Asking(request, PredictBody, by_facts=True)
        backend = await asked.find(services)
        reply = await answered(asked.of(backend, as_texts))
        found = [
            [{"score": one.score, "label": one.label} for one in row]
            for row in labelled(fitting(reply, labels), labels)
        ]
        return as_json(found[0] if is_one else found)

    @app.post(
        "/tokenize",
        summary="Split texts into tokens",
        tags=[TEI],
        openapi_extra=request_body(TokenizeBody),
        responses=answers(TOKENS, Shape.TEI),
    )
    async def tokenize(request: Request) -> Response:
        """Returns the tokens of each text with their ids and positions. Needs `-show_tokens_to_client`."""
        texts: list[str] = []

        def as_texts(body: TokenizeBody) -> tuple[list[str], bool, Options]:
            if not backend.facts.shows_tokens:
                raise Problem(400, "this server shows no tokens: start it with -show_tokens_to_client for /tokenize")
            texts[:] = one_of(body.inputs, "inputs")
            prompt = prompt_of(backend.facts.prompts, prompt_name=body.prompt_name)
            return texts, False, Options.asked(offsets=True, truncate="error", prompt=prompt or "")

        asked = Asking(request, TokenizeBody, by_facts=True)
        backend = await asked.find(services)
        reply = await answered(asked.of(backend, as_texts))
        return as_json(tokens_of(reply, texts, with_special=asked.about["add_special_tokens"]))

    @app.get(
        "/info",
        summary="Describe the model",
        tags=[TEI],
        responses=answers(any_object("The model and its limits"), Shape.TEI, 401, 404, 422, 503),
    )
    async def info(model: ModelName = "") -> Response:
        """Says which model this is and what it takes. If there are several, name one."""
        backend = services.group(model).first.backend
        return as_json(info_of(await backend.fresh_status()))


def _options(body: EmbedAllBody, backend: Backend, **view: Any) -> Options:
    return vectors_as(
        normalizes=backend.facts.normalizes,
        prompt=prompt_of(backend.facts.prompts, prompt_name=body.prompt_name),
        truncate=truncate_of(body.truncate, body.truncation_direction),
        **view,
    )


def tokens_of(reply: RowsReply, texts: list[str], *, with_special: bool) -> list[list[dict[str, Any]]]:
    """As TEI shows them. Problem 503 if the reply has none, for the service was started again with other options."""
    if reply.tokens is None or reply.offsets is None or reply.ids is None or reply.special is None:
        raise Problem(503, "the service was started again meanwhile, and shows no tokens: ask again", retry_after_s=1)
    found = []
    rows = zip(texts, reply.tokens, reply.offsets, reply.ids, map(set, reply.special), strict=True)
    for text, tokens, offsets, ids, special in rows:
        shown = []
        for place, (token, (start, stop), number) in enumerate(zip(tokens, offsets, ids, strict=True)):
            if place in special:
                shown.append({"id": number, "text": token, "special": True, "start": None, "stop": None})
            else:
                part = text[start:stop] or token
                shown.append({"id": number, "text": part, "special": False, "start": start, "stop": stop})
        found.append([one for one in shown if with_special or not one["special"]])
    return found


async def answered(reply: Any) -> RowsReply:
    """The reply that is awaited. A text that is too long has TEI's status for that: Problem 413."""
    try:
        found: RowsReply = await reply
        return found
    except RowFailed as error:
        if _TOO_LONG.search(str(error)):
            raise Problem(413, str(error), index=error.index) from None
        raise


def scores_of(labels: list[str], *, raw: bool) -> str:
    """The pooling that gives a head's scores."""
    return "LOGITS" if raw else "CLASSIFICATION" if len(labels) > 1 else "REGRESSION"


def fitting(reply: RowsReply, labels: Sequence[str]) -> Any:
    """The scores of a reply. Problem 503 if another model has come meanwhile, with other labels."""
    if reply.array.shape[1:] != (len(labels),):
        raise Problem(503, "the service was started again with another model: ask again", retry_after_s=1)
    return reply.array


def sequences_of(inputs: Any) -> tuple[list[Any], bool, bool]:
    """Texts or pairs, whether they are pairs, and whether it is a single one that does not stand in a list.

    Problem 400 if there is none, 422 for what is none.
    """
    if inputs in ("", []):
        raise Problem(400, "inputs is empty: give a text, a pair, or a list of these", param="inputs")
    if isinstance(inputs, str):
        return [inputs], False, True
    is_one = isinstance(inputs, list) and isinstance(inputs[0], str)
    rows = [inputs] if is_one else inputs
    if not isinstance(rows, list):
        raise Problem(422, f"inputs must be a text or a list, not {type(inputs).__name__}", param="inputs")
    for index, row in enumerate(rows):
        if not isinstance(row, list) or len(row) not in (1, 2) or not all(isinstance(one, str) for one in row):
            what = "a pair has two texts, and several texts stand in lists of their own: [[a], [b], ..]"
            raise Problem(422, f"inputs[{index}] is no text and no pair: {what}", param="inputs", index=index)
        if len(row) != len(rows[0]):
            what = f"inputs[{index}] is {'a pair' if len(row) > 1 else 'no pair'}, and those before it are not so"
            raise Problem(422, f"{what}: send texts and pairs apart", param="inputs", index=index)
    is_pair = len(rows[0]) > 1
    return rows if is_pair else [row[0] for row in rows], is_pair, is_one
