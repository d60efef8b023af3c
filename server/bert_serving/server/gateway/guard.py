"""What stands before every route: the key, the size of a body and the time that it takes to come, and the counting.

Nothing of a body is read before there is room for all that it promises, see `held.py`.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hmac
import time
from collections.abc import Callable
from contextlib import suppress

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bert_serving.client.errors import quoted
from bert_serving.server.gateway.error_shapes import shape_of
from bert_serving.server.gateway.held import Bodies, Body
from bert_serving.server.gateway.problems import Problem
from bert_serving.server.gateway.usage import Accounts

OPEN_PATHS = ("/health", "/health/live", "/health/ready", "/metrics")
"""Those that need no key: probes and scrapers have none."""
ACCOUNT = "bert_serving.account"
"""In the scope of a request: the `Account` of who asks; None where nobody's usage is counted."""
AT_END = "bert_serving.at_end"
"""In the scope of a request: what is called when its answer is out, or given up."""
BODY_TIMEOUT_S = 30.0
UNAUTHORIZED = 401
ROOM_RETRY_S = 2
_CHALLENGES = (b'Basic realm="bert-serving", charset="UTF-8"', b"Bearer")
"""A header each: Chromium asks nobody for a key where one header has both."""
Count = Callable[[str, int, float], None]
"""Takes the route, the status and the seconds of each request that was answered."""


class Guard:
    """ASGI middleware."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        api_key: str | None,
        accounts: Accounts | None = None,
        max_body: int,
        bodies: Bodies,
        count: Count,
    ) -> None:
        self._app = app
        self._keys = [] if api_key is None else [api_key.encode(letters) for letters in ("utf-8", "latin-1")]
        self._accounts = accounts
        self._max_body = max_body
        self._bodies = bodies
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
                if status == UNAUTHORIZED:
                    message["headers"] += [(b"www-authenticate", challenge) for challenge in _CHALLENGES]
            await send(message)

        problem = self._problem(scope)
        app = self._app if problem is None else problem.as_response(shape_of(scope))
        bounded = Bounded(receive, self._max_body, self._bodies, promised=_length(scope))
        scope[AT_END] = [bounded.release]
        try:
            await app(scope, bounded, send_and_note)
        finally:
            for release in scope[AT_END]:
                release()
            route = getattr(scope.get("route"), "path", "other")
            self._count(route, status, time.perf_counter() - begin_s)

    def _problem(self, scope: Scope) -> Problem | None:
        headers = dict(scope["headers"])
        scope[ACCOUNT] = None
        if scope["path"] not in OPEN_PATHS and not self._lets_in(scope, _key(headers.get(b"authorization", b""))):
            text = "this server wants a key: send the header Authorization: Bearer KEY"
            return Problem(UNAUTHORIZED, text)
        if _length(scope) > self._max_body:
            return _too_large(self._max_body)
        encoding = headers.get(b"content-encoding", b"").strip().lower()
        return None if encoding in (b"", b"identity") else _compressed(encoding)

    def _lets_in(self, scope: Scope, given: bytes) -> bool:
        """Whether this key is one of those that may ask; whose it is stands in the scope then."""
        if not self._keys and self._accounts is None:
            return True
        if self._accounts is not None:
            scope[ACCOUNT] = self._accounts.of(given, time.monotonic())
        return any(hmac.compare_digest(given, key) for key in self._keys) or scope[ACCOUNT] is not None


class Bounded:
    """Receives a body, but no more than so much of it, for no longer than so long, and only if there is room for it.

    Whoever makes it calls `release` at the end.
    """

    def __init__(
        self, receive: Receive, max_body: int, bodies: Bodies, promised: int = 0, timeout_s: float = BODY_TIMEOUT_S
    ) -> None:
        self._receive = receive
        self._timeout_s = timeout_s
        self._max_body = max_body
        self._bodies = bodies
        self._promised = promised
        self._begun_s = time.monotonic()
        self._body = Body(self._begun_s, self._give_up)
        self._reading: asyncio.Future[Message] | None = None

    async def __call__(self) -> Message:
        if self._body.is_whole:  # what comes now is that the client has gone, if ever
            return await self._receive()
        self._hold(self._promised)
        message = await self._next()
        self._body.received += len(message.get("body", b""))
        if self._body.received > self._max_body:
            raise _too_large(self._max_body)
        self._hold(self._body.received)
        self._body.is_whole = not message.get("more_body", False)
        return message

    def release(self) -> None:
        """The request is answered, or given up."""
        self._bodies.release(self._body)

    async def _next(self) -> Message:
        self._reading = asyncio.ensure_future(self._receive())
        try:
            await asyncio.wait([self._reading], timeout=self._begun_s + self._timeout_s - time.monotonic())
        finally:
            is_done = self._reading.done()
            self._reading.cancel()
        if not is_done:
            raise Problem(408, f"the body did not come within {self._timeout_s:g} s")
        if self._reading.cancelled():
            raise Problem(429, "the body came too slowly while others needed its room", retry_after_s=ROOM_RETRY_S)
        return self._reading.result()

    def _hold(self, size: int) -> None:
        if not self._bodies.hold(self._body, size, time.monotonic()):
            text = "requests hold as many megabytes as they may together (-http_max_bodies): come again"
            raise Problem(429, text, retry_after_s=ROOM_RETRY_S)

    def _give_up(self) -> None:
        if self._reading is not None:
            self._reading.cancel()


def _length(scope: Scope) -> int:
    """Of the body, as its head promises; 0 if it does not say."""
    length = dict(scope["headers"]).get(b"content-length", b"0")
    return int(length) if length.isdigit() else 0


def _too_large(max_body: int) -> Problem:
    return Problem(413, f"a body may have {max_body >> 20} megabytes (-http_max_body): send fewer texts at once")


def _compressed(encoding: bytes) -> Problem:
    named = quoted(encoding.decode("latin-1"))
    text = f"the body has Content-Encoding {named}, and only identity is taken: send it as it is, without that header"
    return Problem(415, text, headers={"Accept-Encoding": "identity"})


def _key(authorization: bytes) -> bytes:
    """Of `Bearer KEY`, or of `Basic` with the key as password, which is how a browser asks a person."""
    scheme, _, value = authorization.partition(b" ")
    if scheme.lower() == b"bearer":
        return value.strip()
    if scheme.lower() == b"basic":
        with suppress(binascii.Error):
            return base64.b64decode(value).partition(b":")[2].strip()
    return b""
