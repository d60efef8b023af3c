"""HTTP connections with an end to patience: who sends no whole request head in time is hung up on."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

HEAD_TIMEOUT_S = 20.0


class PatientProtocol(H11Protocol):
    """uvicorn's protocol, which waits for ever for the first head of a connection."""

    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._deadline = self.loop.call_later(HEAD_TIMEOUT_S, self._hang_up)

    def _hang_up(self) -> None:
        has_begun: Any = self.cycle  # typed as never None
        if has_begun is None and not self.transport.is_closing():
            self.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        super().connection_lost(exc)
