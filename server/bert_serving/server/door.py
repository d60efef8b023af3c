"""The door of the service: reads what clients send, and lets in what is well formed and allowed.

It owns no socket: the ventilator gives it the one that clients push to, and takes from it what came in.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator

import zmq

from bert_serving.client.errors import BadRequest, MalformedMessage, ServerError
from bert_serving.client.wire import Command, CommandRequest, EncodeRequest, decode_request
from bert_serving.server.log import Throttle
from bert_serving.server.transport import sockets
from bert_serving.server.transport.curve import Gate

log = logging.getLogger(__name__)

Request = EncodeRequest | CommandRequest


class Door:
    """`terminate` is that of the config. `refuse` gets identity, request id and error of what is turned away and can be
    answered."""

    def __init__(
        self,
        requests: sockets.Socket,
        gate: Gate | None,
        terminate: str,
        refuse: Callable[[bytes, bytes, ServerError], None],
    ) -> None:
        self._requests = requests
        self._gate = gate
        self._terminate = terminate
        self._refuse = refuse
        self._malformed = Throttle(log, "%d malformed request(s) were refused; their senders were told why")
        refused = "%d TERMINATION(s) were refused, the last one from %s: see -terminate, which is " + terminate
        self._refused = Throttle(log, refused)

    def __iter__(self) -> Iterator[Request]:
        """The requests that wait outside, some of them if there are many."""
        for frames in sockets.burst(self._requests):
            request = self._read(frames)
            if request is None:
                continue
            if self._gate is not None and not self._gate.knows(_property(frames[0], "User-Id")):
                self._refuse(request.identity, request.request_id, BadRequest("this client's key was revoked"))
            elif not _is_termination(request) or self._may_terminate(frames[0]):
                yield request

    def _read(self, frames: list[zmq.Frame]) -> Request | None:
        try:
            return decode_request([frame.bytes for frame in frames])
        except MalformedMessage as error:
            self._on_malformed(error)
        except Exception:  # one strange request must not end the service
            log.error("a request was dropped by an error in its decoder", exc_info=True)
        return None

    def _may_terminate(self, frame: zmq.Frame) -> bool:
        """As `-terminate` says."""
        sender = _property(frame, "Peer-Address")
        if self._terminate == "anywhere" or (self._terminate != "never" and self._is_admin(frame)):
            return True
        if self._terminate == "local" and sender is not None and sockets.is_this_machine(sender):
            return True
        self._refused.count(1, time.monotonic(), sender)
        return False

    def _is_admin(self, frame: zmq.Frame) -> bool:
        return self._gate is not None and self._gate.is_admin(_property(frame, "User-Id"))

    def _on_malformed(self, error: MalformedMessage) -> None:
        self._malformed.count(1, time.monotonic())
        if error.identity is not None:
            self._refuse(error.identity, error.request_id or b"0", BadRequest(str(error)))


def _is_termination(request: Request) -> bool:
    return isinstance(request, CommandRequest) and request.command is Command.TERMINATION


def _property(frame: zmq.Frame, name: str) -> str | None:
    """What the connection that a frame came by says of its sender; None if it says nothing of that."""
    try:
        return str(frame.get(name))
    except zmq.ZMQError:
        return None
