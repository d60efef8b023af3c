"""How the service is: status, health and metrics."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import FastAPI, Query
from starlette.responses import Response

from bert_serving.client.errors import quoted
from bert_serving.server.gateway.answers import answers, any_object
from bert_serving.server.gateway.description import OPERATIONS
from bert_serving.server.gateway.group import Group, Member
from bert_serving.server.gateway.metrics import CONTENT_TYPE, Metrics
from bert_serving.server.gateway.problems import Problem, Shape
from bert_serving.server.gateway.schemas import ModelName
from bert_serving.server.gateway.services import Services
from bert_serving.server.gateway.writing import as_json

_STATUS = answers(any_object("The status"), Shape.NESTED, 401, 404, 503)
_LIVE = answers(any_object('`{"status": "live"}`'), Shape.NESTED, 503)
_READY = answers(any_object('`{"status": "ready"}`'), Shape.NESTED, 503)
_LIVE[503]["description"] = "The service has said nothing for so long that only a restart helps"
_READY[503]["description"] = "Not ready; the message names the process to blame"
_TEXT: dict[int | str, dict[str, Any]] = {
    200: {"description": "The metrics", "content": {"text/plain": {"schema": {"type": "string"}}}}
}
Endpoint = Annotated[str, Query(description="the number of a service of the model, if it has several")]


def add_operations(app: FastAPI, services: Services, metrics: Metrics) -> None:
    """Add the routes."""

    @app.get("/status/server", summary="Show the server's options and counts", tags=[OPERATIONS], responses=_STATUS)
    async def server_status(model: ModelName = "", endpoint: Endpoint = "") -> Response:
        """Returns the server's options and what it has done. `client` is a hash, and internal addresses are hidden.

        With several models it lists them and how each of their services is; name a `model`, and an `endpoint` if that
        has several, to get the status of one.
        """
        if not model and not services.takes_any_name:
            return as_json({"models": {name: _about(group) for name, group in services.groups.items()}})
        return as_json(await _member(services.group(model), endpoint).backend.fresh_status())

    @app.get("/status/client", summary="Show the gateway's own client", tags=[OPERATIONS], responses=_STATUS)
    async def client_status(model: ModelName = "", endpoint: Endpoint = "") -> Response:
        """Describes the client through which the gateway asks the service. `identity` is a hash. If there are several
        models, name one."""
        return as_json(_member(services.group(model), endpoint).backend.client_status)

    @app.get("/health/live", summary="Tell whether a restart is needed", tags=[OPERATIONS], responses=_LIVE)
    async def live() -> Response:
        """Returns 200 while the gateway answers and its own service has been heard of lately. For liveness probes."""
        if (why := services.why_dead) is not None:
            raise Problem(503, why, retry_after_s=1)
        return as_json({"status": "live"})

    @app.get("/health", include_in_schema=False)
    @app.get("/health/ready", summary="Tell whether requests are served", tags=[OPERATIONS], responses=_READY)
    async def ready() -> Response:
        """Returns 200 while every process is up and every worker has lately encoded a known sentence. For readiness
        probes. If a model has several services, one of them must be well."""
        if (why := services.trouble) is not None:
            raise Problem(503, why, retry_after_s=1)
        return as_json({"status": "ready"})

    @app.get(
        "/metrics", summary="Export metrics for Prometheus", tags=[OPERATIONS], response_class=Response, responses=_TEXT
    )
    async def scrape() -> Response:
        """Returns all metrics in the text format of Prometheus."""
        return Response(metrics.as_text(), media_type=CONTENT_TYPE)


def _member(group: Group, number: str) -> Member:
    """The service that stands for its model, or the one of that number. Problem 404 if there is none."""
    if not number:
        return group.first
    there = {str(member.number): member for member in group.members}
    if number not in there:
        raise Problem(404, f"there is no endpoint {quoted(number)}: there is {', '.join(there)}", param="endpoint")
    return there[number]


def _about(group: Group) -> list[dict[str, Any]]:
    """Each service of a model in short."""
    return [
        {
            "endpoint": member.number,
            "weight": group.weights[member.number],
            "fingerprint": member.backend.fingerprint,
            "trouble": member.backend.trouble,
        }
        for member in group.members
    ]
