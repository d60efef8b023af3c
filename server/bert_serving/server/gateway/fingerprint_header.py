"""`X-Fingerprint`: each answer with vectors says which model made them, whichever route wrote it."""

from __future__ import annotations

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

HEADER = "X-Fingerprint"
EXPECTED_HEADER = "X-Expect-Fingerprint"
"""Of a request that takes the vectors of no other model."""
FINGERPRINT = "bert_serving.fingerprint"
"""In the scope of a request: that of the vectors that have come for it; empty if the service sends none."""


class FingerprintHeader:
    """ASGI middleware."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_header(message: Message) -> None:
            if message["type"] == "http.response.start" and scope.get(FINGERPRINT):
                MutableHeaders(scope=message)[HEADER] = scope[FINGERPRINT]
            await send(message)

        await self._app(scope, receive, send_with_header)
