"""The intake of the service: reads what clients send, and lets in what is well formed and allowed.

It owns no socket: the ventilator gives it the one that clients push to, and takes from it what came in. Large requests
are read a slice a turn, all of them in turn, so that small ones of others pass in between.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import zmq

from bert_serving.client.errors import BadRequest, MalformedMessage, ServerBusy, ServerError
from bert_serving.client.options import NO_OPTIONS, Options
from bert_serving.client.wire import (
    COMMANDS,
    LONGEST_COMMAND,
    MAX_FRAMES,
    MAX_IDENTITY_BYTES,
    MAX_OPTIONS_BYTES,
    MAX_REQUEST_ID_DIGITS,
    Command,
    CommandRequest,
    decode_count,
    decode_options,
    decode_sender,
)
from bert_serving.server.config import ServerConfig
from bert_serving.server.log import Throttle
from bert_serving.server.transport import sockets
from bert_serving.server.transport.connections import Connections
from bert_serving.server.transport.curve import Gate
from bert_serving.server.ventilator.incoming import Incoming, Reader
from bert_serving.server.ventilator.reading import AT_ONCE_BYTES, Reading, ReadRequest
from bert_serving.server.wanted import row_bytes

log = logging.getLogger(__name__)

READING_S = 0.002
"""How long large requests are read before all others get a turn."""

COME_AGAIN_MS = 1_000

Request = ReadRequest | CommandRequest
Note = Callable[[bytes, bytes], int]
Refuse = Callable[[int, bytes, bytes, ServerError], None]


@dataclass(frozen=True, slots=True)
class Limits:
    """What one message may have, in bytes, and what all that are being read may have together.

    `row_bytes` says what a text of so many characters takes in an answer, 0 if nobody knows, or raises BadRequest.
    """

    message_bytes: int
    reading_bytes: int
    answer_bytes: int
    row_bytes: Callable[[Options, int], int]

    @staticmethod
    def of(config: ServerConfig) -> Limits:
        """Those of a resolved config."""
        message, answer = config.max_msg_size << 20, config.max_answer_mb << 20
        return Limits(message, message, answer, partial(row_bytes, config))

    def check_answer(self, total: int, options: Options, characters: int) -> int:
        """The bytes of an answer of `total` rows for texts of so many characters.

        Raises BadRequest for too many, and for options that the model cannot do.
        """
        answer_bytes = total * self.row_bytes(options, characters)
        if answer_bytes > self.answer_bytes:
            raise BadRequest(
                f"the answer to {total} texts may take {answer_bytes / 2**20:.1f} MB, but -max_answer_mb allows "
                f"{self.answer_bytes >> 20}: send fewer texts at once"
            )
        return answer_bytes


class _Sender(NamedTuple):
    """Whom to answer, and as which job."""

    job: int
    identity: bytes
    request_id: bytes


@dataclass(slots=True)
class _Large:
    """A request that is read in turns."""

    sender: _Sender
    connection: int
    options: Options
    shaping: Options
    """Those that change the answer."""
    reading: Reading
    key_name: str | None


class Intake:
    """Iterate over it for what came in, each with its job.

    `note` gets identity and request id of each message that can be answered, before any JSON of it is read, and makes
    a job of it. That is followed by one of two: the request is yielded with the job, or `refuse` gets the job,
    identity, request id and an error. `TERMINATION`, which has no answer, is yielded as job 0. `part_rows` says how
    many rows the parts of a request of so many should have. `terminate` is that of the config. For
    `connections` see `Reader`.
    """

    def __init__(
        self,
        requests: sockets.Socket,
        gate: Gate | None,
        terminate: str,
        note: Note,
        refuse: Refuse,
        limits: Limits,
        part_rows: Callable[[int], int],
        connections: Connections,
    ) -> None:
        self._connections = connections
        self._reader = Reader(requests, limits.message_bytes, connections)
        self._gate = gate
        self._terminate = terminate
        self._note = note
        self._refuse = refuse
        self._limits = limits
        self._part_rows = part_rows
        self._large: deque[_Large] = deque()
        self._malformed = Throttle(log, "%d malformed request(s) were refused; their senders were told why")
        refused = "%d TERMINATION(s) were refused, the last one from %s: see -terminate, which is " + terminate
        self._refused = Throttle(log, refused)
        self._unanswered = Throttle(log, "dropped %d malformed request(s) without a readable sender")
        self._failed = Throttle(log, "%d request(s) were refused because of an error while reading them")

    @property
    def is_reading(self) -> bool:
        """Whether there is more to read though the socket has nothing."""
        return bool(self._large)

    @property
    def held_bytes(self) -> int:
        """Of the requests that are being read."""
        return sum(large.reading.size for large in self._large)

    def __iter__(self) -> Iterator[tuple[int, Request]]:
        """The requests that wait outside, some of them if there are many."""
        for message in self._reader.burst():
            if (found := self._begin(message)) is not None:
                yield found
        end_s = time.monotonic() + READING_S
        while self._large and time.monotonic() < end_s:
            large = self._large.popleft()
            if (request := self._go_on(large)) is not None:
                yield large.sender.job, request

    def abandon(self, error: ServerError) -> None:
        """Refuse all that is not read to its end."""
        while self._large:
            large = self._large.popleft()
            self._refuse(*large.sender, error)

    # -- small messages, and the beginning of large ones --------------------------------------------------------------

    def _begin(self, message: Incoming) -> tuple[int, Request] | None:
        try:
            heads = _heads(message)
            identity, request_id = decode_sender(heads, message.number)
        except MalformedMessage as error:
            self._in_vain(message)
            self._on_nameless(error)
            return None
        if heads[1] == _TERMINATION and self._is_known(message):
            is_allowed = message.frames[0] is not None and self._may_terminate(message.frames[0])
            return (0, CommandRequest(identity, request_id, Command.TERMINATION)) if is_allowed else None
        sender = self._noted(identity, request_id)
        try:
            request = self._admit(message, heads, sender)
            return None if request is None else (sender.job, request)
        except Exception as error:
            if isinstance(error, MalformedMessage):
                self._in_vain(message)
            self._on_error(sender, error)
            return None

    def _in_vain(self, message: Incoming) -> None:
        if message.connection is not None:
            self._connections.in_vain(message.connection)

    def _noted(self, identity: bytes, request_id: bytes) -> _Sender:
        return _Sender(self._note(identity, request_id), identity, request_id)

    def _on_nameless(self, error: MalformedMessage) -> None:
        """By its frames alone it is no request. Who has an identity is told so, under the id 0 if it has none."""
        if error.identity is None:
            self._unanswered.count(1, time.monotonic())
        else:
            self._on_error(self._noted(error.identity, error.request_id or b"0"), error)

    def _admit(self, message: Incoming, heads: list[bytes], sender: _Sender) -> Request | None:
        content = message.frames[1]
        if None in message.frames or content is None or message.size > self._limits.message_bytes:
            most = self._limits.message_bytes >> 20
            raise MalformedMessage(f"the message is larger than {most} MB, which is the maximum")
        if not self._is_known(message):
            raise BadRequest("this client's key was revoked")
        if heads[1] in COMMANDS:
            return CommandRequest(sender.identity, sender.request_id, COMMANDS[heads[1]])
        total = decode_count(heads[3])
        options = decode_options(heads[4]) if message.number == MAX_FRAMES else NO_OPTIONS
        shaping = options.shaping()
        self._limits.check_answer(total, shaping, 0)
        reading = Reading(content.buffer, total, self._part_rows(total))
        connection = message.connection.serial if message.connection is not None else 0
        large = _Large(sender, connection, options, shaping, reading, self._key_name(message))
        if reading.size > AT_ONCE_BYTES:
            self._put_off(large)
            return None
        while not reading.read():
            pass
        return self._done(large)

    def _is_known(self, message: Incoming) -> bool:
        frame = message.frames[0]
        return self._gate is None or (frame is not None and self._gate.knows(_property(frame, "User-Id")))

    def _key_name(self, message: Incoming) -> str | None:
        frame = message.frames[0]
        return None if self._gate is None or frame is None else self._gate.name_of(_property(frame, "User-Id"))

    def _may_terminate(self, frame: zmq.Frame) -> bool:
        """As `-terminate` says."""
        sender = _property(frame, "Peer-Address")
        is_admin = self._gate is not None and self._gate.is_admin(_property(frame, "User-Id"))
        if may_terminate(self._terminate, is_admin, lambda: sender is not None and sockets.is_this_machine(sender)):
            return True
        self._refused.count(1, time.monotonic(), sender)
        return False

    # -- large messages -----------------------------------------------------------------------------------------------

    def _put_off(self, large: _Large) -> None:
        size = large.reading.size
        others = self.held_bytes
        if others and others + size > self._limits.reading_bytes:
            text = f"{others >> 20} MB of texts are being read, and with these it would be too many"
            text += f" (-max_msg_size): retry in {COME_AGAIN_MS} ms"
            raise ServerBusy(text, retry_after_ms=COME_AGAIN_MS)
        self._large.append(large)

    def _go_on(self, large: _Large) -> ReadRequest | None:
        try:
            if not large.reading.read():
                self._large.append(large)
                return None
            return self._done(large)
        except Exception as error:
            self._on_error(large.sender, error)
            return None

    def _done(self, large: _Large) -> ReadRequest:
        reading = large.reading
        answer_bytes = self._limits.check_answer(reading.total, large.shaping, reading.longest)
        return ReadRequest(
            large.sender.identity,
            large.sender.request_id,
            reading.total,
            reading.parts,
            reading.size,
            reading.digest,
            large.options,
            answer_bytes,
            large.connection,
            large.key_name,
        )

    def _on_error(self, sender: _Sender, error: Exception) -> None:
        if isinstance(error, MalformedMessage):
            self._malformed.count(1, time.monotonic())
            error = BadRequest(str(error))
        elif not isinstance(error, ServerError):  # one strange request must not end the service
            self._failed.count(1, time.monotonic(), error=error)
            error = ServerError("the server could not read this request")
        self._refuse(*sender, error)


_TERMINATION = Command.TERMINATION.value
_LONGEST = (MAX_IDENTITY_BYTES, LONGEST_COMMAND, MAX_REQUEST_ID_DIGITS, MAX_REQUEST_ID_DIGITS, MAX_OPTIONS_BYTES)


def may_terminate(policy: str, is_admin: bool, is_local: Callable[[], bool]) -> bool:
    """Whether `-terminate` lets somebody stop the server."""
    if policy in ("anywhere", "never"):
        return policy == "anywhere"
    return is_admin or (policy == "local" and is_local())


def _heads(message: Incoming) -> list[bytes]:
    """Its frames, but of each no more than tells that it is too long. Texts are left where they lie."""
    return [
        b"" if frame is None else frame.bytes if len(frame) <= bound else bytes(frame.buffer[: bound + 1])
        for frame, bound in zip(message.frames, _LONGEST, strict=False)
    ]


def _property(frame: zmq.Frame, name: str) -> str | None:
    """What the connection that a frame came by says of its sender; None if it says nothing of that."""
    try:
        return str(frame.get(name))
    except zmq.ZMQError:
        return None
