"""A request as the guard and the routes know it, whatever its client makes of a base URL, and however a probe asks.

HEAD is GET whose answer has no body, which uvicorn leaves out. A path has no empty parts, for base URLs end in a slash
or do not; and it is a path, where a proxy sends the whole URL. Nothing is redirected: many clients lose a body so.
"""

from __future__ import annotations

import re

from starlette.types import ASGIApp, Receive, Scope, Send

IS_HEAD = "bert_serving.is_head"
"""In the scope of a request that is taken as GET."""
_ORIGIN = re.compile(r"^https?://[^/]*", re.IGNORECASE)
_SLASHES = re.compile("/{2,}")


class NormalForm:
    """ASGI middleware."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            is_head = scope["method"] == "HEAD"
            method = "GET" if is_head else scope["method"]
            scope = {**scope, "method": method, "path": normal_path(scope["path"]), IS_HEAD: is_head}
        await self._app(scope, receive, send)


def normal_path(target: str) -> str:
    """Of a request's target: `/v1/embeddings` of `//v1/embeddings/` and of `http://host//v1/embeddings`."""
    if target == "*":  # OPTIONS asks so for the server as a whole
        return "/"
    return _SLASHES.sub("/", _ORIGIN.sub("", target)).rstrip("/") or "/"
