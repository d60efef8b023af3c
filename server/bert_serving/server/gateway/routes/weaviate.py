"""What Weaviate's text2vec-transformers module asks of its inference container: `/vectors`, and whether it is ready."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI, Request
from pydantic import BaseModel, Field, StrictInt, StrictStr
from starlette.responses import Response

from bert_serving.client.options import Options
from bert_serving.server.gateway.answers import WEAVIATE_VECTORS, answers, any_object
from bert_serving.server.gateway.asking import Asking, request_body
from bert_serving.server.gateway.description import WEAVIATE
from bert_serving.server.gateway.dialect import prompt_of, vectors_as
from bert_serving.server.gateway.problems import Problem, Shape
from bert_serving.server.gateway.schemas import MODEL, ROLE, ModelName
from bert_serving.server.gateway.services import Services
from bert_serving.server.gateway.tei_info import info_of
from bert_serving.server.gateway.writing import as_field, as_json


class Config(BaseModel):
    """How texts are to be read. `pooling_strategy` is taken, and does nothing: Weaviate always sends its own default,
    and the model's folder knows better."""

    task_type: StrictStr | None = Field(default=None, description=ROLE)
    dimensions: StrictInt | None = Field(
        default=None, ge=1, description="keep only this many numbers of each vector, and scale it to length 1 again"
    )


class VectorsBody(BaseModel):
    """Of `POST /vectors`: a `text`, or a list of `texts`."""

    model: StrictStr = Field("", description=MODEL)
    text: StrictStr | None = Field(None, description="a text", examples=["hello world"])
    texts: list[StrictStr] | None = Field(None, description="several texts, instead of text")
    config: Config = Config()


def add_weaviate(app: FastAPI, services: Services) -> None:
    """Add the routes."""

    @app.post(
        "/vectors",
        summary="Encode a text, or several",
        tags=[WEAVIATE],
        openapi_extra=request_body(VectorsBody, examples=_EXAMPLES),
        responses=answers(WEAVIATE_VECTORS, Shape.PLAIN),
    )
    async def vectors(request: Request) -> Response:
        """Returns the vector of `text`, or the vectors of `texts`, in the format of Weaviate."""
        kept: list[str | None] = []

        def as_texts(body: VectorsBody) -> tuple[list[str], bool, Options]:
            config = body.config
            options = vectors_as(
                normalizes=backend.facts.normalizes,
                dimensions=config.dimensions,
                prompt=prompt_of(backend.facts.prompts, task_type=config.task_type),
            )
            kept.append(body.text)
            return _texts_of(body), False, options

        asked = Asking(request, VectorsBody, by_facts=True)
        backend = await asked.find(services)
        reply = await asked.pooled(backend, as_texts)
        width = reply.array.shape[1]
        sizes = {"dims": width, "dim": width}  # Weaviate and its own container call it by these two names
        if kept[0] is None:
            return as_field({}, "vectors", reply.array, sizes)
        return as_json({"text": kept[0], "vector": reply.array[0], **sizes})

    probe: dict[str, Any] = {"status_code": 204, "tags": [WEAVIATE], "responses": _PROBE}

    @app.get("/.well-known/live", summary="Tell whether the model can be used (live)", **probe)
    @app.get("/.well-known/ready", summary="Tell whether the model can be used (ready)", **probe)
    async def ready() -> Response:
        """Returns 204 if the model can be used."""
        if (why := services.trouble) is not None:
            raise Problem(503, why, retry_after_s=1)
        return Response(status_code=204)

    @app.get(
        "/meta",
        summary="Describe the model",
        tags=[WEAVIATE],
        responses=answers(any_object("The model and its limits"), Shape.PLAIN, 401, 404, 422, 503),
    )
    async def meta(model: ModelName = "") -> Response:
        """Says which model this is."""
        return as_json(info_of(await services.group(model).first.backend.fresh_status()))


_EXAMPLES = {"One text": {"text": "hello world"}, "Two texts": {"texts": ["First do it", "then do it right"]}}
_PROBE: dict[int | str, dict[str, Any]] = {503: {"description": "The model cannot be used now"}}


def _texts_of(body: VectorsBody) -> list[Any]:
    if (body.text is None) == (body.texts is None):
        missing = "text: Field required, or texts" if body.text is None else "text and texts: send one of them"
        raise Problem(422, missing, param="text")
    texts = [body.text] if body.texts is None else body.texts
    if texts in ([], [""]):
        raise Problem(400, "text is empty: give a text, or a list of texts", param="text")
    return texts
