"""HTTP connections with an end to patience, and to their number.

Who sends no whole request head in time is hung up on, and so is who does not read what was written. When there are as
many connections as there may be, a new one takes the place of the one whose client has let the server wait longest: so
probes are answered, however many strangers hold connections open. None goes whose request is at work.

Large bodies are read in turns. Of requests that were sent before the one before was answered, few are at work at once.
"""

from __future__ import annotations

import asyncio
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from bert_serving.server.gateway.reading_turns import Places, TurnedFlow, Turns
from bert_serving.server.gateway.slots import WAITING_PER_SLOT
from bert_serving.server.transport.descriptors import connections_within_limit

HEAD_TIMEOUT_S = 20.0
READ_TIMEOUT_S = 10.0
"""For a client to read what was written, at most about a megabyte."""
MORE_CONNECTIONS = 500
"""Beside those whose requests are at work or wait: viewers, probes, and clients that keep theirs open."""
RESERVE = 0.25
"""Of that number on top, before who has let the server wait for less than `GRACE_S` has to go."""
GRACE_S = 1.0
OTHER_FILES = 128
"""That the process has open beside its connections, by far."""
FOLLOWING_AT_ONCE = 4
"""Requests at work that were sent before the answer to the one before was out: no usual client does that."""


def most_connections(slots: int) -> int:
    """As many as requests may wait and more, as far as this process may open files."""
    wanted = slots * (1 + WAITING_PER_SLOT) + MORE_CONNECTIONS
    return int(max(OTHER_FILES // 2, min(wanted, connections_within_limit(OTHER_FILES) / (1 + RESERVE))))


class PatientProtocol(H11Protocol):
    """uvicorn's, which would wait for ever for the rest of a head and for a reader, and for any number of them."""

    most: int | None = None
    turns = Turns()
    places = Places(FOLLOWING_AT_ONCE)
    flow: TurnedFlow
    _follows = False
    """Whether what comes next was sent before its client could know the last answer."""
    _has_place = False
    _deadline: asyncio.TimerHandle | None = None
    _read_deadline: asyncio.TimerHandle | None = None
    _waits_since_s = 0.0

    @classmethod
    def with_most(cls, most: int) -> type[PatientProtocol]:
        """The same with so many connections at most."""
        return type(cls.__name__, (cls,), {"most": most, "turns": Turns(), "places": Places(FOLLOWING_AT_ONCE)})

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self.flow = TurnedFlow(transport, self.turns)
        self._expect_head()
        if self.most is not None and len(self.connections) > self.most:
            self._make_room(is_urgent=len(self.connections) > int(self.most * (1 + RESERVE)))

    def data_received(self, data: bytes) -> None:
        if self._deadline is None and not self._has_request:
            self._expect_head()
        self.flow.received += len(data)
        super().data_received(data)
        self.flow.take_turn()
        if self._has_request:
            self._forget_deadline()

    def on_response_complete(self) -> None:
        self._waits_since_s = self.loop.time()
        self._leave()
        if self.conn.their_state is h11.DONE:
            self.flow.received = len(self.conn.trailing_data[0])
            self._follows = self.flow.received > 0
        super().on_response_complete()

    def handle_events(self) -> None:
        if self._follows:
            self._follows = False
            self._unset_keepalive_if_required()
            self.flow.pause_reading()
            self.places.ask(self._handle_next)
        else:
            super().handle_events()

    def _handle_next(self) -> None:
        self._has_place = True
        if not self.transport.is_closing():
            self.flow.resume_reading()
            super().handle_events()
        if not self._has_request:  # the rest of its head has yet to come
            self._leave()
            if self._deadline is None:
                self._expect_head()

    def _leave(self) -> None:
        if self._has_place:
            self._has_place = False
            self.places.leave()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._forget_read_deadline()
        self._waits_since_s = self.loop.time()
        self._read_deadline = self.loop.call_later(READ_TIMEOUT_S, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        self._forget_read_deadline()

    def connection_lost(self, exc: Exception | None) -> None:
        self._forget_deadline()
        self._forget_read_deadline()
        self._leave()
        super().connection_lost(exc)

    def timeout_keep_alive_handler(self) -> None:
        super().timeout_keep_alive_handler()
        if self.transport.get_write_buffer_size():  # to close it would wait for a reader
            self.transport.abort()

    @property
    def waits_since_s(self) -> float | None:
        """Since when the client lets this wait: for a head, for a body, or until it reads; None if it does not."""
        cycle: Any = self.cycle
        is_waiting = not self._has_request or self._read_deadline is not None
        return self._waits_since_s if is_waiting or (cycle.more_body and not cycle.response_started) else None

    @property
    def _has_request(self) -> bool:
        """Whether a head has come whose request is not answered yet."""
        cycle: Any = self.cycle  # typed as never None
        return cycle is not None and not cycle.response_complete

    def _make_room(self, is_urgent: bool) -> None:
        waiting = [(one.waits_since_s, one) for one in self.connections if isinstance(one, PatientProtocol)]
        longest = min(((since_s, one) for since_s, one in waiting if since_s is not None), key=lambda pair: pair[0])
        if is_urgent or self.loop.time() - longest[0] > GRACE_S:
            longest[1].hang_up()

    def hang_up(self) -> None:
        """At once, whatever is not written yet."""
        self.connections.discard(self)
        self.transport.abort()

    def _expect_head(self) -> None:
        self._waits_since_s = self.loop.time()
        self._deadline = self.loop.call_later(HEAD_TIMEOUT_S, self.transport.close)

    def _forget_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _forget_read_deadline(self) -> None:
        if self._read_deadline is not None:
            self._read_deadline.cancel()
            self._read_deadline = None
