"""The dashboard, and the events that keep it up to date."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import orjson
from fastapi import FastAPI, Request
from starlette.responses import HTMLResponse, Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from bert_serving.client.errors import quoted
from bert_serving.server.gateway.backend import Backend
from bert_serving.server.gateway.dashboard import ASSETS, PAGE, Viewer, text_of
from bert_serving.server.gateway.normal_form import IS_HEAD
from bert_serving.server.gateway.problems import Problem
from bert_serving.server.gateway.services import Services

EVENT_INTERVAL_S = 1.0
EVENTS = "text/event-stream"
MOST_VIEWERS = 100
POLICY = "default-src 'self'; img-src data:"
"""A page loads nothing from elsewhere."""


def add_pages(app: FastAPI, services: Services) -> None:
    """Add the routes."""
    page = text_of(PAGE)
    assets = {name: (text_of(name), kind) for name, kind in ASSETS.items()}

    @app.get("/", include_in_schema=False)
    async def dashboard() -> HTMLResponse:
        return HTMLResponse(page, headers={"Content-Security-Policy": POLICY})

    @app.get("/dashboard/{name}", include_in_schema=False)
    async def asset(name: str) -> Response:
        if name not in assets:
            raise Problem(404, f"there is no file {quoted(name)} of the dashboard")
        content, kind = assets[name]
        return Response(content, media_type=kind, headers={"Cache-Control": "no-cache"})

    @app.get("/events", include_in_schema=False)
    async def events(request: Request, model: str = "") -> Response:
        """How the first model's service is, or that of the model that the query names."""
        group = services.named(model) if model and not services.takes_any_name else services.first
        backend = group.first.backend
        if request.scope[IS_HEAD]:
            response = Response(media_type=EVENTS)
            del response.headers["Content-Length"]  # the stream has none
            return response
        if backend.viewers >= MOST_VIEWERS:
            raise Problem(429, f"{backend.viewers} dashboards are open already", retry_after_s=60)
        return EventStream(services, backend)


class EventStream(StreamingResponse):
    """A viewer's, who counts from the moment that it is made: between that and its first event others may come."""

    def __init__(self, services: Services, backend: Backend) -> None:
        super().__init__(_events(services, backend), media_type=EVENTS)
        self._backend = backend
        backend.viewers += 1

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._backend.viewers -= 1


async def _events(services: Services, backend: Backend) -> AsyncIterator[str]:
    """For the dashboard: at first the last hour, then what is new each second."""
    viewer = Viewer(backend, list(services.groups))
    while not backend.is_draining:
        yield f"data: {orjson.dumps(viewer.next_event()).decode()}\n\n"
        await asyncio.sleep(EVENT_INTERVAL_S)
