"""What can go wrong with an HTTP request, and how it is told: one table for all routes.

400  no JSON, or nothing to encode, or       429  too much at once: `Retry-After` says when to come again
     what this model cannot do               503  the model loads, the server stops, or part of it began anew
401  no key, or the wrong one                504  not done within -http_timeout
404  no such route, or no such model         500  a fault of the server
405  wrong method
408  the body does not come
409  vectors of another fingerprint than is expected
413  the body is larger than -http_max_body, or holds or asks for more than fits
415  the body is compressed
422  JSON, but not what the route takes; `index` is the text that is to blame

What it looks like is the dialect's: OpenAI's object, which is Cohere's and 1.10's here too, or TEI's, or a sentence.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import Enum, auto
from typing import Any

import orjson
from starlette.responses import Response

from bert_serving.client.errors import (
    BadRequest,
    ClientClosed,
    ConnectFailed,
    InvalidInput,
    RequestTimeout,
    RowFailed,
    ServerBusy,
    ServerRestarted,
    ServerStopping,
)

_TYPES = {
    400: "bad_request",
    401: "unauthorized",
    404: "not_found",
    405: "method_not_allowed",
    408: "request_timeout",
    409: "model_mismatch",
    413: "too_large",
    415: "unsupported",
    422: "invalid",
    429: "overloaded",
    503: "unavailable",
    504: "deadline_exceeded",
}
_TEI_TYPES = {422: "tokenizer", 429: "overloaded", 500: "backend", 503: "unhealthy", 504: "backend"}
"""By status, as TEI has them; all others are "validation"."""
_OPTION = re.compile(r"(pooling|layers|normalize|dimensions|views|prompt|truncate|is_pair|offsets)\b")
"""How a service begins that refuses an option."""


class Shape(Enum):
    """How a dialect writes an error."""

    NESTED = auto()
    """As OpenAI: `{"error": {"message", "type", "param", "code"}}`, beside it the `status` of 1.10."""
    TEI = auto()
    """`{"error": sentence, "error_type"}`."""
    PLAIN = auto()
    """`{"error": sentence}`, as Ollama and Weaviate read it."""


class Problem(Exception):
    """An answer that is an error. `param` names the field that is wrong, `retry_after_s` when to come again; `headers`
    are what else its status asks for; `code` is what OpenAI calls it, where clients look at that."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        param: str | None = None,
        index: int | None = None,
        retry_after_s: int | None = None,
        headers: Mapping[str, str] | None = None,
        code: str | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.param = param
        self.index = index
        self.retry_after_s = retry_after_s
        self.code = code
        self._headers = {**(headers or {})}
        if retry_after_s is not None:
            self._headers["Retry-After"] = str(retry_after_s)

    def as_response(self, shape: Shape = Shape.NESTED) -> Response:
        """The answer, in the shape of a dialect."""
        return Response(orjson.dumps(self._content(shape)), self.status, self._headers, "application/json")

    def _content(self, shape: Shape) -> dict[str, Any]:
        if shape is Shape.PLAIN:
            return {"error": self.message}
        if shape is Shape.TEI:
            return {"error": self.message, "error_type": self._tei_type}
        error = {
            "message": self.message,
            "type": _TYPES.get(self.status, "server_error"),
            "param": self.param,
            "code": self.code or self.status,
        }
        if self.index is not None:
            error["index"] = self.index
        return {"error": error, "status": self.status}

    @property
    def _tei_type(self) -> str:
        if self.status == 400 and "empty" in self.message:
            return "empty"
        if self.status == 422 and self.index is None:  # the body's fault, and no text's
            return "validation"
        return _TEI_TYPES.get(self.status, "validation")


def problem_of(error: Exception) -> Problem:
    """What an exception of the client means to who asked by HTTP."""
    text = str(error)
    if isinstance(error, Problem):
        return error
    if isinstance(error, InvalidInput):
        return Problem(422 if error.index is not None else 400, text, index=error.index)
    if isinstance(error, RowFailed):
        return Problem(422, text, index=error.index)
    if isinstance(error, BadRequest):
        option = _OPTION.match(text)
        return Problem(400, text, param=option[0] if option else None)
    if isinstance(error, RequestTimeout):
        return Problem(504, "not done within -http_timeout: the server is busy, or the texts are too many")
    if isinstance(error, ServerRestarted):  # thrice: the client has asked again by itself
        return Problem(503, "a part of the server was started again while it had this request", retry_after_s=1)
    if isinstance(error, ServerBusy):
        return Problem(429, text, retry_after_s=-(-error.retry_after_ms // 1000))
    if isinstance(error, (ConnectFailed, ServerStopping)):
        return Problem(503, text, retry_after_s=5)
    if isinstance(error, ClientClosed):
        return Problem(503, "the server is stopping, and does not wait any more", retry_after_s=5)
    return Problem(500, "an error in the server, see its log")
