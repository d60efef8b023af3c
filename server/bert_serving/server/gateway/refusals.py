"""What is raised while a request is at work, as its answer. The table of statuses is in `problems.py`."""

from __future__ import annotations

import logging
import re

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Match

from bert_serving.server.gateway.error_shapes import shape_of
from bert_serving.server.gateway.problems import Problem, problem_of

log = logging.getLogger(__name__)


async def answer_error(request: Request, error: Exception) -> Response:
    """What FastAPI calls for an exception of any kind."""
    if isinstance(error, HTTPException):
        return _no_route(request, error)
    if isinstance(error, ClientDisconnect):  # nobody reads this
        return Problem(400, "the client has left before its request was whole").as_response(shape_of(request.scope))
    problem = problem_of(error)
    if problem.status == 500:
        log.error("a request failed: %s", type(error).__name__, exc_info=error)
    return problem.as_response(shape_of(request.scope))


def _no_route(request: Request, error: HTTPException) -> Response:
    """The answer where no route has that path, or none with that method: to OPTIONS, which methods there are."""
    asked = f"{request.method} {request.url.path}"
    if error.status_code == 404:
        hint = "/docs shows which there are, and the base URL of an OpenAI client ends in one /v1"
        return Problem(404, f"{asked}: there is no such route: {hint}").as_response(shape_of(request.scope))
    if error.status_code != 405:
        return Problem(error.status_code, f"{asked}: {error.detail}").as_response(shape_of(request.scope))
    methods = set(re.findall(r"\w+", (error.headers or {}).get("Allow", ""))) | _methods(request) | {"OPTIONS"}
    allowed = {"Allow": ", ".join(sorted(methods | {"HEAD"} if "GET" in methods else methods))}
    if request.method == "OPTIONS":
        return Response(status_code=204, headers=allowed)
    return Problem(405, f"{asked}: this route takes {allowed['Allow']}", headers=allowed).as_response(
        shape_of(request.scope)
    )


def _methods(request: Request) -> set[str]:
    """Of all routes of that path, for the exception has those of the first alone."""
    routes = [route for route in request.app.routes if route.matches(request.scope)[0] is not Match.NONE]
    return {method for route in routes for method in getattr(route, "methods", None) or ()}
