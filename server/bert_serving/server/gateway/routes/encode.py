"""`POST /encode`, as bert-as-service 1.10 had it, with the options of a request."""

from __future__ import annotations

from fastapi import FastAPI, Request
from starlette.responses import Response

from bert_serving.client.options import Asked, Options
from bert_serving.server.gateway.answers import RESULTS, answers
from bert_serving.server.gateway.asking import Asking, request_body
from bert_serving.server.gateway.description import NATIVE
from bert_serving.server.gateway.problems import Problem
from bert_serving.server.gateway.schemas import EncodeBody
from bert_serving.server.gateway.services import Services
from bert_serving.server.gateway.writing import OCTETS, as_octets, as_results


def add_encode(app: FastAPI, services: Services) -> None:
    """Add the route."""

    @app.post(
        "/encode",
        summary="Encode texts, with every option",
        tags=[NATIVE],
        openapi_extra=request_body(EncodeBody, examples=_EXAMPLES),
        responses=answers(RESULTS),
    )
    async def encode(request: Request) -> Response:
        """Returns a vector for each text, in the format of bert-as-service 1.10.

        With the header `Accept: application/octet-stream` the vectors come as raw float32. With `views`, `results` has
        a list of vectors for each view.
        """
        wants_octets = OCTETS in request.headers.get("accept", "").lower()

        def as_texts(body: EncodeBody) -> tuple[list[object], bool, Options]:
            if wants_octets and body.views and len(body.views) > 1:
                text = f"{OCTETS} has one array, and views are {len(body.views)}: ask for one, or for JSON"
                raise Problem(422, text, param="views")
            return body.texts, body.is_tokenized, Options.asked(**body.model_dump(include=_OPTIONS))

        asked = Asking(request, EncodeBody)
        backend = await asked.find(services)
        reply = await asked.of(backend, as_texts)
        if wants_octets:
            return as_octets(reply.array)
        about = asked.about
        return as_results(
            reply,
            about["id"],
            show_tokens=about["show_tokens"],
            by_views=about["views"] is not None,
            offsets=about["offsets"],
        )


_EXAMPLES = {
    "Two texts": {"texts": ["First do it", "then do it right"]},
    "Two views of each text": {
        "texts": ["First do it", "then do it right"],
        "views": [{"pooling": "REDUCE_MEAN"}, {"pooling": "REDUCE_MAX"}],
    },
    "Pairs of texts": {"texts": [["First do it", "then do it right"]], "is_pair": True},
    "Vectors of length 1": {"texts": ["First do it"], "normalize": True},
}
_OPTIONS = set(Asked.__annotations__)
