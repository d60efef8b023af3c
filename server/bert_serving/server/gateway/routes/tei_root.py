"""`POST /`, as text-embeddings-inference has it: for clients that know a server's address and no path of it.

Hugging Face's InferenceClient is one, and so is what is built on it, such as Haystack's components; LiteLLM is another.
What is meant depends on the model, which `/info` tells of: labels of a classifier, the order of documents of a
reranker, else vectors.
"""

from __future__ import annotations

from fastapi import FastAPI, Request
from fastapi.routing import APIRoute
from starlette.responses import Response

from bert_serving.server.gateway.group import Group
from bert_serving.server.gateway.services import Services


def add_tei_root(app: FastAPI, services: Services) -> None:
    """Add the route, when those are there that it stands for."""
    meant = {route.path: route.endpoint for route in app.routes if isinstance(route, APIRoute)}

    @app.post("/", include_in_schema=False)
    async def root(request: Request) -> Response:
        """Of several models the URL has to name it, as `/?model=NAME`; else vectors are meant."""
        name = request.query_params.get("model", "")
        is_known = name or services.takes_any_name
        response: Response = await meant[_path_of(services.group(name)) if is_known else "/embed"](request)
        return response


def _path_of(group: Group) -> str:
    known = [member.backend.facts for member in group.members]
    headed = next((facts for facts in known if facts.has_head), None)
    if headed is None:
        return "/embed"
    return "/predict" if len(headed.labels) > 1 else "/rerank"
