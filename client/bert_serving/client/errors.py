"""Every exception that the client raises on purpose, in one tree.

    BertServingError
    ├── InvalidInput                  what was passed to encode() cannot be sent
    │   ├── InvalidInputType          (also TypeError)
    │   └── InvalidInputValue         (also ValueError)
    ├── ConnectFailed                 no usable server within connect_timeout (also TimeoutError)
    ├── RequestTimeout                the server did not answer within timeout (also TimeoutError)
    ├── VersionMismatch               the server speaks another protocol (also AttributeError, as in 1.10)
    ├── ModelMismatch                 the server has another model than expect_fingerprint says
    ├── ClientClosed                  the client was closed, or its thread is not here (also RuntimeError)
    ├── MalformedMessage              frames that are no message of this protocol (also ValueError)
    └── ServerError                   the server answered with an error
        ├── BadRequest                it could not read the request (also ValueError)
        ├── RowFailed                 one text of the request could not be encoded (also ValueError)
        ├── DeadlineExceeded          it was not done within the `timeout` of the request (also RequestTimeout)
        ├── ServerBusy                it has as much to do as it may have (also ConnectionError)
        ├── ServerStopping            it is shutting down (also ConnectionError)
        └── ServerRestarted           a part of it died with the request, thrice in a row (also ConnectionError)

The built-in bases are those that users of bert-serving-client 1.10 catch.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

MAX_RETRY_AFTER_MS = 60_000
"""A server that names a longer wait is not believed."""

MAX_MESSAGE_CHARACTERS = 2_000
"""What is longer is cut: an error quotes what others sent, or what a library says of it."""


def quoted(value: object, limit: int = 80) -> str:
    """What a stranger sent, for a log or an error: in printable ASCII and short, whatever it is."""
    if isinstance(value, (str, bytes)):
        shown = ascii(value[: limit + 1])
    elif value is None or isinstance(value, (bool, float)):
        shown = ascii(value)
    elif isinstance(value, int):
        shown = ascii(value) if value.bit_length() < 4 * limit else f"a number of {value.bit_length()} bits"
    elif isinstance(value, (list, dict)):
        shown = f"a {type(value).__name__} of {len(value)}"
    else:
        shown = type(value).__name__
    return shown if len(shown) <= limit else shown[:limit] + "..."


class BertServingError(Exception):
    """Base of all errors that this package raises on purpose."""


class InvalidInput(BertServingError):
    """What was passed to `encode()` cannot be sent; `index` is the place of the text that is to blame, if one is."""

    index: int | None = None


class InvalidInputType(InvalidInput, TypeError):
    """Not a list, or an element of the wrong type."""


class InvalidInputValue(InvalidInput, ValueError):
    """An empty list, a blank string, or text that is not valid Unicode."""


class ConnectFailed(BertServingError, TimeoutError):
    """No usable server was reached within `connect_timeout`; the message says what it looks like."""


class RequestTimeout(BertServingError, TimeoutError):
    """The server did not answer within `timeout` milliseconds."""


class VersionMismatch(BertServingError, AttributeError):
    """The server speaks a protocol that this client does not."""


class ModelMismatch(BertServingError):
    """The server's model, or the options that shape its vectors, are not those that were expected."""


class ClientClosed(BertServingError, RuntimeError):
    """The client was closed, or it was made before a fork, or before gevent or eventlet patched threads."""


class MalformedMessage(BertServingError, ValueError):
    """Frames that are no message of this protocol.

    `identity` and `request_id` are what could be read of the sender, to answer to; None where nothing could.
    """

    def __init__(self, message: str, identity: bytes | None = None, request_id: bytes | None = None) -> None:
        super().__init__(message)
        self.identity = identity
        self.request_id = request_id


class ServerError(BertServingError):
    """The server answered this request with an error.

    `index` is the position of the text that caused it in the list that was sent, or None if none did alone.
    """

    wire_type: ClassVar[str] = "server_error"

    def __init__(self, message: str, index: int | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.index = index

    def to_wire(self) -> dict[str, Any]:
        """The JSON object under "error" in an error reply."""
        fields: dict[str, Any] = {"type": self.wire_type, "message": _cut(self.message)}
        if self.index is not None:
            fields["index"] = self.index
        return fields

    @staticmethod
    def from_wire(fields: Mapping[str, Any]) -> ServerError:
        """The exception that `to_wire` described; an unknown type becomes a plain `ServerError`.

        Fields of the wrong type count as missing: the server may be anything.
        """
        name, message, index = fields.get("type"), fields.get("message"), fields.get("index")
        kind = _BY_WIRE_TYPE.get(name, ServerError) if isinstance(name, str) else ServerError
        error = kind(
            _cut(message) if isinstance(message, str) else "no reason given", index if type(index) is int else None
        )
        wait_ms = fields.get("retry_after_ms")
        if isinstance(error, ServerBusy) and type(wait_ms) is int and 0 <= wait_ms <= MAX_RETRY_AFTER_MS:
            error.retry_after_ms = wait_ms
        return error


def _cut(message: str) -> str:
    return message if len(message) <= MAX_MESSAGE_CHARACTERS else message[:MAX_MESSAGE_CHARACTERS] + "..."


class BadRequest(ServerError, ValueError):
    """The server could not read the request."""

    wire_type = "bad_request"


class RowFailed(ServerError, ValueError):
    """One text of the request could not be encoded; `index` says which."""

    wire_type = "row_failed"


class DeadlineExceeded(ServerError, RequestTimeout):
    """The server was not done within the time that the request gave it, and computed no further."""

    wire_type = "deadline_exceeded"


class ServerStopping(ServerError, ConnectionError):
    """The server is shutting down and will not answer this request; the client asks the one that takes its place."""

    wire_type = "server_stopping"


class ServerRestarted(ServerError, ConnectionError):
    """The server's ventilator was started again while it had this request; the client asks again by itself, twice."""

    wire_type = "server_restarted"


class ServerBusy(ServerError, ConnectionError):
    """The server has as much to do as it may have; the client asks again after `retry_after_ms` by itself."""

    wire_type = "busy"

    def __init__(self, message: str, index: int | None = None, retry_after_ms: int = 1000) -> None:
        super().__init__(message, index)
        self.retry_after_ms = retry_after_ms

    def to_wire(self) -> dict[str, Any]:
        return {**super().to_wire(), "retry_after_ms": self.retry_after_ms}


_BY_WIRE_TYPE: dict[str, type[ServerError]] = {
    kind.wire_type: kind
    for kind in (ServerError, BadRequest, RowFailed, DeadlineExceeded, ServerStopping, ServerRestarted, ServerBusy)
}
