"""Every exception that the client raises on purpose, in one tree.

    BertServingError
    ├── InvalidInput                  what was passed to encode() cannot be sent
    │   ├── InvalidInputType          (also TypeError)
    │   └── InvalidInputValue         (also ValueError)
    ├── ConnectFailed                 no usable server within connect_timeout (also TimeoutError)
    ├── RequestTimeout                the server did not answer within timeout (also TimeoutError)
    ├── VersionMismatch               the server speaks another protocol (also AttributeError, as in 1.10)
    ├── ModelMismatch                 the server's model is not the one that expect_fingerprint names
    ├── ClientClosed                  the client was closed, or its thread is not running (also RuntimeError)
    ├── MalformedMessage              frames that are not a message of this protocol (also ValueError)
    └── ServerError                   the server answered with an error
        ├── BadRequest                it could not read the request (also ValueError)
        ├── RowFailed                 one text of the request could not be encoded (also ValueError)
        ├── DeadlineExceeded          it did not finish within the request's `timeout` (also RequestTimeout)
        ├── ServerBusy                it has reached a limit on its work (also ConnectionError)
        ├── ServerStopping            it is shutting down (also ConnectionError)
        └── ServerRestarted           a part of it died with the request, three times (also ConnectionError)

The built-in base classes are those that users of bert-serving-client 1.10 catch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any, ClassVar, ParamSpec, TypeVar

_P = ParamSpec("_P")
_T = TypeVar("_T")

MAX_RETRY_AFTER_MS = 60_000
"""Longer waits that a server asks for are ignored."""

MAX_MESSAGE_CHARACTERS = 2_000
"""Longer messages are cut: an error may quote what others sent, or a library's own message."""


def quoted(value: object, limit: int = 80) -> str:
    """What a stranger sent, for a log or an error: short and in printable ASCII."""
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
    """Base class of all errors that this package raises on purpose."""


def in_short(method: Callable[_P, _T]) -> Callable[_P, _T]:
    """Lets the traceback of our errors end here: a caller needs the sentence, not the way through this package."""

    @wraps(method)
    def called(*args: _P.args, **kwargs: _P.kwargs) -> _T:
        try:
            return method(*args, **kwargs)
        except BertServingError as error:
            raise error.with_traceback(None) from None

    return called


class InvalidInput(BertServingError):
    """What was passed to `encode()` cannot be sent; `index` is the position of the offending text, if there is one."""

    index: int | None = None


class InvalidInputType(InvalidInput, TypeError):
    """Not a list, or an element of the wrong type."""


class InvalidInputValue(InvalidInput, ValueError):
    """An empty list, a blank string, or text that is not valid Unicode."""


class ConnectFailed(BertServingError, TimeoutError):
    """No usable server was reached within `connect_timeout`; the message says what seems to be wrong."""


class RequestTimeout(BertServingError, TimeoutError):
    """The server did not answer within `timeout` milliseconds."""


class VersionMismatch(BertServingError, AttributeError):
    """The server speaks a protocol that this client does not."""


class ModelMismatch(BertServingError):
    """The server's model, or an option that shapes its vectors, is not the expected one."""


class ClientClosed(BertServingError, RuntimeError):
    """The client was closed, or created before a fork or before gevent or eventlet patched threads."""


class MalformedMessage(BertServingError, ValueError):
    """Frames that are not a message of this protocol.

    `identity` and `request_id` name the sender, for an answer; None if they could not be read.
    """

    def __init__(self, message: str, identity: bytes | None = None, request_id: bytes | None = None) -> None:
        super().__init__(message)
        self.identity = identity
        self.request_id = request_id


class ServerError(BertServingError):
    """The server answered this request with an error.

    `index` is the position of the text that caused it; None if no single text did.
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
    """The server did not finish within the request's `timeout`, and stopped computing it."""

    wire_type = "deadline_exceeded"


class ServerStopping(ServerError, ConnectionError):
    """The server is shutting down and will not answer this request; the client resends it to the next server."""

    wire_type = "server_stopping"


class ServerRestarted(ServerError, ConnectionError):
    """The server's ventilator was restarted while it had this request; the client resends it automatically, twice."""

    wire_type = "server_restarted"


class ServerBusy(ServerError, ConnectionError):
    """The server has reached a limit; the client resends the request automatically after `retry_after_ms`."""

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
