"""uvicorn as the gateway uses it: one loop, no log of its own, no signals, and connections with an end to patience."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import uvicorn

from bert_serving.server.gateway.protocol import PatientProtocol
from bert_serving.server.transport.listeners import WAITING_CONNECTIONS

IDLE_S = 75
"""That a connection may stay between requests: longer than clients keep theirs, so that none is cut as it asks."""
GRACE_S = 3
"""At the end, for answers that are being written."""


class HttpServer(uvicorn.Server):
    """uvicorn's, but signals are another's business."""

    def __init__(self, app: Any, protocol: type[PatientProtocol]) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                http=protocol,
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                backlog=WAITING_CONNECTIONS,
                timeout_keep_alive=IDLE_S,
                timeout_graceful_shutdown=GRACE_S,
            )
        )

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield
