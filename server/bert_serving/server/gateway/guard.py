"""What stands before every route: the key, the size of a body and the time that it takes to come, and the counting."""

from __future__ import annotations

import asyncio
import base64
import binascii
import hmac
import time
from collections.abc import Callable

import orjson
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bert_serving.server.gateway.problems import Problem

OPEN_PATHS = ("/health/live", "/health/ready", "/metrics")
"""Those that need no key: probes and scrapers have none."""
BODY_TIMEOUT_S = 30.0
Count = Callable[[str, int, float], None]
"""Takes the route, the status and the seconds of each request that was answered."""


class Guard:
    """ASGI middleware."""

    def __init__(self, app: ASGIApp, *, api_key: str | None, max_body: int, count: Count) -> None:
        self._app = app
        self._api_key = api_key
        self._max_body = max_body
        self._count = count

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begin_s = time.perf_counter()
        status = 500

        async def send_and_note(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        problem = self._problem(scope)
        app = self._app if problem is None else as_response(problem)
        try:
            await app(scope, _Bounded(receive, self._max_body), send_and_note)
        finally:
            route = getattr(scope.get("route"), "path", "other")
            self._count(route, status, time.perf_counter() - begin_s)

    def _problem(self, scope: Scope) -> Problem | None:
        headers = {name: value.decode("latin-1") for name, value in scope["headers"]}
        is_preflight = scope["method"] == "OPTIONS"
        if self._api_key is not None and scope["path"] not in OPEN_PATHS and not is_preflight:
            given = _key(headers.get(b"authorization", ""))
            if not hmac.compare_digest(given.encode(), self._api_key.encode()):
                return Problem(401, "this server wants a key: send the header Authorization: Bearer KEY")
        length = headers.get(b"content-length", "0")
        if length.isdigit() and int(length) > self._max_body:
            return _too_large(self._max_body)
        return None


class _Bounded:
    """Receives a body, but no more than so much, and not for ever."""

    def __init__(self, receive: Receive, max_body: int) -> None:
        self._receive = receive
        self._max_body = max_body
        self._size = 0
        self._is_whole = False

    async def __call__(self) -> Message:
        if self._is_whole:  # what comes now is that the client has gone, if ever
            return await self._receive()
        try:
            message = await asyncio.wait_for(self._receive(), BODY_TIMEOUT_S)
        except (TimeoutError, asyncio.TimeoutError):
            raise Problem(408, f"the body did not come within {BODY_TIMEOUT_S:.0f} s") from None
        self._size += len(message.get("body", b""))
        self._is_whole = not message.get("more_body", False)
        if self._size > self._max_body:
            raise _too_large(self._max_body)
        return message


def _too_large(max_body: int) -> Problem:
    return Problem(413, f"a body may have {max_body >> 20} megabytes (-http_max_body): send fewer texts at once")


def _key(authorization: str) -> str:
    """Of `Bearer KEY`, or of `Basic` with the key as password, which is how a browser asks a person."""
    scheme, _, value = authorization.partition(" ")
    if scheme.lower() == "bearer":
        return value.strip()
    if scheme.lower() == "basic":
        try:
            return base64.b64decode(value).decode().partition(":")[2]
        except (binascii.Error, UnicodeDecodeError):
            return ""
    return ""


def as_response(problem: Problem) -> Response:
    """How a problem is told."""
    return Response(orjson.dumps(problem.as_body()), problem.status, problem.headers(), "application/json")
