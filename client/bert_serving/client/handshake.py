"""The first question to a server, asked until a ready one answers. No I/O: the loop that sends calls `advance`.

It is asked again because a subscription may reach the server later than the first request, because a server may answer
before its model is loaded, and because its ventilator may be started again meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from typing import Any

from bert_serving.client.errors import ConnectFailed, ServerRestarted
from bert_serving.client.pending import Asked
from bert_serving.client.wire import JsonReply

ASK_AGAIN_S = 0.25
"""Until the question is asked again for the first time; then twice as long each time, up to a second."""

MAX_ASK_AGAIN_S = 1.0
ASK_LOADING_AGAIN_S = 0.25


class Handshake:
    """Waits for a config whose "state" is ready; servers of 1.10 have none and count as ready."""

    def __init__(self) -> None:
        self.future: Future[dict[str, Any]] = Future()
        self.started_at_s: float | None = None
        self.ask_at_s: float | None = None
        self.is_loading = False
        self._asked: Asked | None = None
        self._patience_s = ASK_AGAIN_S

    def advance(self, now_s: float, ask: Callable[[], Asked], repeat: Callable[[Asked], None]) -> None:
        """Take the answer if there is one, ask (again) if it is time. Raises ClientClosed as `ask` does."""
        if self.started_at_s is None:
            self.started_at_s = self.ask_at_s = now_s
        if self._asked is not None and self._asked.future.done():
            self._take(self._asked, now_s)
        if self.future.done() or self.ask_at_s is None or now_s < self.ask_at_s:
            return
        self.ask_at_s = now_s + self._patience_s
        self._patience_s = min(2 * self._patience_s, MAX_ASK_AGAIN_S)
        if self._asked is None:
            self._asked = ask()
        else:
            repeat(self._asked)

    def fail(self, error: Exception) -> None:
        """Give up."""
        if self._asked is not None:
            self._asked.future.cancel()
        with suppress(InvalidStateError):  # nobody waits any more
            self.future.set_exception(error)

    def _take(self, asked: Asked, now_s: float) -> None:
        self._asked = None
        error = asked.future.exception()
        if isinstance(error, ServerRestarted):  # however often: asking costs nothing, and `ask_at_s` keeps a distance
            return
        reply = None if error else asked.future.result()
        if not isinstance(reply, JsonReply):
            self.fail(
                error if isinstance(error, Exception) else ConnectFailed("the server's config is not a JSON object")
            )
            return
        self.is_loading = reply.content.get("state", "ready") != "ready"
        if self.is_loading:
            self.ask_at_s = now_s + ASK_LOADING_AGAIN_S
        else:
            with suppress(InvalidStateError):
                self.future.set_result(reply.content)
