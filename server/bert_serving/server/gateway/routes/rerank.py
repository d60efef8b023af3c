"""Documents in the order of a query: Cohere's and Jina's `/v1/rerank` and `/v2/rerank`, and `/rerank`, which is theirs,
text-embeddings-inference's and Weaviate's. A body's fields say which of them was meant.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any, Union

from fastapi import FastAPI, Request
from pydantic import BaseModel, Field, StrictBool, StrictInt, StrictStr
from starlette.responses import Response

from bert_serving.client.errors import quoted
from bert_serving.client.options import Options
from bert_serving.client.scores import Hit, hits_of, ranking
from bert_serving.client.wire import RowsReply
from bert_serving.server.gateway.answers import RANKED, RANKED_ANY, answers
from bert_serving.server.gateway.asking import Asking, request_body
from bert_serving.server.gateway.backend import Backend
from bert_serving.server.gateway.description import RERANK
from bert_serving.server.gateway.dialect import truncate_of
from bert_serving.server.gateway.error_shapes import SHAPE
from bert_serving.server.gateway.problems import Problem, Shape
from bert_serving.server.gateway.routes.tei import TeiBody, answered, fitting
from bert_serving.server.gateway.schemas import MODEL, Documents
from bert_serving.server.gateway.services import Services
from bert_serving.server.gateway.writing import as_json

_QUERY = Field(description="the question to rank the documents by", examples=["What is the capital?"])
_TEXTS = ["Carson City is the capital.", "It rains."]


class CohereBody(BaseModel):
    """Of Cohere and Jina."""

    model: StrictStr = Field("", description=MODEL)
    query: StrictStr = _QUERY
    documents: Documents = Field(description="texts, or objects with a field text", examples=[_TEXTS])
    top_n: StrictInt | None = Field(None, ge=1, description="return only this many, the best")
    return_documents: StrictBool = Field(True, description="include the document in each result")


class TeiRerankBody(TeiBody):
    """Of text-embeddings-inference."""

    query: StrictStr = _QUERY
    texts: list[StrictStr] = Field(description="the texts to rank", examples=[_TEXTS])
    raw_scores: StrictBool = Field(False, description="return logits instead of scores from 0 to 1")
    return_text: StrictBool = Field(False, description="include the text in each result")
    top_n: StrictInt | None = Field(None, ge=1, description="return only this many, the best")


class WeaviateBody(BaseModel):
    """Of Weaviate. `property` is a single text, in the place of `documents`."""

    model: StrictStr = Field("", description=MODEL)
    query: StrictStr = _QUERY
    property: StrictStr = Field("", description="a text to score; ignored if there are documents")
    documents: list[StrictStr] | None = Field(None, description="the texts to score", examples=[_TEXTS])


_Body = Union[CohereBody, TeiRerankBody, WeaviateBody]
_QUESTION = "What is the capital?"
_EXAMPLES = {
    "Cohere, Jina": {"query": _QUESTION, "documents": _TEXTS},
    "text-embeddings-inference": {"query": _QUESTION, "texts": _TEXTS},
    "Weaviate": {"query": _QUESTION, "property": "", "documents": _TEXTS},
}
_ONE_LABEL = ("",)
_KINDS = (CohereBody, TeiRerankBody, WeaviateBody)
_SHAPES = {CohereBody: Shape.NESTED, TeiRerankBody: Shape.TEI, WeaviateBody: Shape.PLAIN}


def kind_of(content: Mapping[str, Any]) -> type[_Body]:
    """What was meant by a body with these fields. Problem 422 if nothing is in any of them to put in order."""
    given = [name for name in ("texts", "documents") if content.get(name) is not None]
    if len(given) > 1:
        raise Problem(422, "texts and documents: send one of them", param="documents")
    if given == ["texts"]:
        return TeiRerankBody
    if "property" in content:
        return WeaviateBody
    if not given:
        text = "documents: Field required: /rerank takes query and documents (Cohere, Jina, Weaviate), or query and "
        raise Problem(422, f"{text}texts (text-embeddings-inference)", param="documents")
    return CohereBody


def add_rerank(app: FastAPI, services: Services, max_bytes: int) -> None:
    """Add the routes. The pairs of a query with its documents have at most `max_bytes` together, as a body has."""

    cohere: dict[str, Any] = {
        "tags": [RERANK],
        "openapi_extra": request_body(CohereBody),
        "responses": answers(RANKED),
    }

    @app.post("/v1/rerank", summary="Rank documents by a query (Cohere, Jina)", **cohere)
    @app.post("/v2/rerank", summary="Rank documents by a query (Cohere)", **cohere)
    async def rerank_as_cohere(request: Request) -> Response:
        """Returns the documents with their scores, best first, in the format of Cohere and Jina."""
        return await _answer(Asking(request, CohereBody), services, max_bytes)

    @app.post(
        "/rerank",
        summary="Rank documents by a query (Cohere, Jina, TEI, Weaviate)",
        tags=[RERANK],
        openapi_extra=request_body(*_KINDS, examples=_EXAMPLES),
        responses=answers(RANKED_ANY),
    )
    async def rerank(request: Request) -> Response:
        """Returns the documents with their scores.

        The fields of the request decide on the format: `documents` is answered as by Cohere and Jina, `texts` as by
        text-embeddings-inference, `property` as by Weaviate's reranker.
        """

        def choose(content: dict[str, Any]) -> type[_Body]:
            kind = kind_of(content)
            request.scope[SHAPE] = _SHAPES[kind]
            return kind

        return await _answer(Asking(request, choose), services, max_bytes)


async def _answer(asked: Asking[Any], services: Services, max_bytes: int) -> Response:
    asked.by_facts = True
    backend = await asked.find(services)
    kept: list[Any] = []

    def as_texts(body: _Body) -> tuple[list[tuple[str, str]], bool, Options]:
        kept[:] = [body, texts := _texts_of(body)]
        _check_head(backend.facts.labels)
        _check_size(body.query, texts, max_bytes)
        pairs, options = ranking(body.query, texts)
        if isinstance(body, TeiRerankBody):
            options = _options(body)
        return pairs, False, options

    reply = await answered(asked.of(backend, as_texts))
    scores = fitting(reply, _ONE_LABEL)
    body, texts = kept
    if isinstance(body, WeaviateBody):
        return as_json(_as_weaviate(body, scores[:, 0].tolist()))
    hits = hits_of(scores, body.top_n)
    return as_json(
        _as_tei(body, hits) if isinstance(body, TeiRerankBody) else _as_cohere(body, hits, texts, reply, backend)
    )


def _check_head(labels: list[str]) -> None:
    if len(labels) != len(_ONE_LABEL):
        text = f"this model's head has {len(labels)} labels, and documents are ranked by one: serve a cross-encoder"
        raise Problem(400, text)


def _check_size(query: str, texts: list[str], max_bytes: int) -> None:
    """The query goes to the service with each document."""
    size = len(query.encode(errors="replace")) * len(texts)
    if size > max_bytes:
        most = max_bytes >> 20
        text = f"the query with each of {len(texts)} documents makes {size >> 20} megabytes, and may make {most}"
        raise Problem(413, f"{text} (-http_max_body): send a shorter query, or fewer documents at once", param="query")


def _options(body: TeiRerankBody) -> Options:
    """The query stays whole where it can, unless another end is to be cut, or nothing."""
    truncate = truncate_of(body.truncate, body.truncation_direction)
    return Options.asked(
        is_pair=True,
        truncate="second" if truncate in (None, "right") else truncate,
        pooling="LOGITS" if body.raw_scores else "REGRESSION",
    )


def _texts_of(body: _Body) -> list[str]:
    """What is put in order. Problem 400 if that is nothing, 422 for a document that is no text."""
    if isinstance(body, TeiRerankBody):
        name, texts = "texts", body.texts
    elif isinstance(body, WeaviateBody) and body.documents is None:
        name, texts = "property", [body.property] if body.property else []
    else:
        name, texts = "documents", body.documents or []
    if not texts:
        raise Problem(400, f"{name} is empty: give what is to be put in order", param=name)
    return [_text_of(document, index) for index, document in enumerate(texts)]


def _text_of(document: Any, index: int) -> str:
    text = document.get("text") if isinstance(document, dict) else document
    if not isinstance(text, str):
        what = f"documents[{index}] must be a text, or an object with a text, not {quoted(document)}"
        raise Problem(422, what, param="documents", index=index)
    return text


def _as_cohere(
    body: CohereBody, hits: list[Hit], texts: list[str], reply: RowsReply, backend: Backend
) -> dict[str, Any]:
    results = [
        {
            "index": hit.index,
            "relevance_score": hit.score,
            **({"document": {"text": texts[hit.index]}} if body.return_documents else {}),
        }
        for hit in hits
    ]
    tokens = reply.num_tokens
    return {
        "id": secrets.token_hex(16),
        "object": "list",
        "model": body.model or backend.name,
        "results": results,
        "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
        "meta": {"tokens": {"input_tokens": tokens}},
    }


def _as_tei(body: TeiRerankBody, hits: list[Hit]) -> list[dict[str, Any]]:
    return [
        {"index": hit.index, **({"text": body.texts[hit.index]} if body.return_text else {}), "score": hit.score}
        for hit in hits
    ]


def _as_weaviate(body: WeaviateBody, scores: list[float]) -> dict[str, Any]:
    """In the order that they were sent."""
    if body.documents is None:
        return {"query": body.query, "property": body.property, "score": scores[0]}
    found = zip(body.documents, scores, strict=True)
    return {"query": body.query, "scores": [{"document": document, "score": score} for document, score in found]}
