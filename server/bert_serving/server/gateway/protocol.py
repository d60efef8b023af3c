"""HTTP connections with an end to patience: who sends no whole request head in time is hung up on."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

HEAD_TIMEOUT_S = 20.0


class PatientProtocol(H11Protocol):
    """uvicorn's protocol, which would wait for ever for the rest of a head."""

    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._expect_head()

    def data_received(self, data: bytes) -> None:
        if self._deadline is None and not self._has_request:
            self._expect_head()
        super().data_received(data)
        if self._has_request:
            self._forget_deadline()

    def connection_lost(self, exc: Exception | None) -> None:
        self._forget_deadline()
        super().connection_lost(exc)

    @property
    def _has_request(self) -> bool:
        """Whether a head has come whose request is not answered yet."""
        cycle: Any = self.cycle  # typed as never None
        return cycle is not None and not cycle.response_complete

    def _expect_head(self) -> None:
        self._deadline = self.loop.call_later(HEAD_TIMEOUT_S, self.transport.close)

    def _forget_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
