"""What stands before every route: the key, the size of a body and the time that it takes to come, and the counting."""

from __future__ import annotations

import asyncio
import base64
import binascii
import hmac
import time
from collections.abc import Callable
from contextlib import suppress

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
        self._api_key = None if api_key is None else api_key.encode()
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
        app = self._app if problem is None else problem.as_response()
        try:
            await app(scope, Bounded(receive, self._max_body), send_and_note)
        finally:
            route = getattr(scope.get("route"), "path", "other")
            self._count(route, status, time.perf_counter() - begin_s)

    def _problem(self, scope: Scope) -> Problem | None:
        headers = dict(scope["headers"])
        is_open = self._api_key is None or scope["path"] in OPEN_PATHS or scope["method"] == "OPTIONS"  # a preflight
        if not is_open and not hmac.compare_digest(_key(headers.get(b"authorization", b"")), self._api_key or b""):
            return Problem(401, "this server wants a key: send the header Authorization: Bearer KEY")
        length = headers.get(b"content-length", b"0")
        if length.isdigit() and int(length) > self._max_body:
            return _too_large(self._max_body)
        return None


class Bounded:
    """Receives a body, but no more than so much of it, and for no longer than so long."""

    def __init__(self, receive: Receive, max_body: int, timeout_s: float = BODY_TIMEOUT_S) -> None:
        self._receive = receive
        self._timeout_s = timeout_s
        self._max_body = max_body
        self._size = 0
        self._due_s = time.monotonic() + timeout_s
        self._is_whole = False

    async def __call__(self) -> Message:
        if self._is_whole:  # what comes now is that the client has gone, if ever
            return await self._receive()
        try:
            message = await asyncio.wait_for(self._receive(), self._due_s - time.monotonic())
        except (TimeoutError, asyncio.TimeoutError):
            raise Problem(408, f"the body did not come within {self._timeout_s:g} s") from None
        self._size += len(message.get("body", b""))
        self._is_whole = not message.get("more_body", False)
        if self._size > self._max_body:
            raise _too_large(self._max_body)
        return message


def _too_large(max_body: int) -> Problem:
    return Problem(413, f"a body may have {max_body >> 20} megabytes (-http_max_body): send fewer texts at once")


def _key(authorization: bytes) -> bytes:
    """Of `Bearer KEY`, or of `Basic` with the key as password, which is how a browser asks a person."""
    scheme, _, value = authorization.partition(b" ")
    if scheme.lower() == b"bearer":
        return value.strip()
    if scheme.lower() == b"basic":
        with suppress(binascii.Error):
            return base64.b64decode(value).partition(b":")[2]
    return b""
