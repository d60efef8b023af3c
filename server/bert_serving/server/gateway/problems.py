"""What can go wrong with an HTTP request, and how it is told: one table for all routes.

400  not JSON, or nothing to encode          429  too much at once: `Retry-After` says when to come again
401  no key, or the wrong one                503  the model loads, the server stops, or part of it began anew
404  no such route, 405 wrong method         504  not done within -http_timeout
408  the body does not come                  500  a fault of the server
413  the body is larger than -http_max_body, or holds or asks for more than fits
415  the body is compressed
422  JSON, but not what the route takes; `index` is the text that is to blame
"""

from __future__ import annotations

from collections.abc import Mapping

import orjson
from starlette.responses import Response

from bert_serving.client.errors import (
    BadRequest,
    ConnectFailed,
    InvalidInput,
    RequestTimeout,
    RowFailed,
    ServerRestarted,
)

_TYPES = {
    400: "bad_request",
    401: "unauthorized",
    404: "not_found",
    405: "method_not_allowed",
    408: "request_timeout",
    413: "too_large",
    415: "unsupported",
    422: "invalid",
    429: "overloaded",
    503: "unavailable",
    504: "deadline_exceeded",
}


class Problem(Exception):
    """An answer that is an error. `param` names the field that is wrong, `retry_after_s` when to come again; `headers`
    are what else its status asks for."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        param: str | None = None,
        index: int | None = None,
        retry_after_s: int | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.param = param
        self.index = index
        self.retry_after_s = retry_after_s
        self._headers = {**(headers or {})}
        if retry_after_s is not None:
            self._headers["Retry-After"] = str(retry_after_s)

    def as_response(self) -> Response:
        """OpenAI's error object, beside it the `status` of 1.10."""
        error = {
            "message": self.message,
            "type": _TYPES.get(self.status, "server_error"),
            "param": self.param,
            "code": self.status,
        }
        if self.index is not None:
            error["index"] = self.index
        content = orjson.dumps({"error": error, "status": self.status})
        return Response(content, self.status, self._headers, "application/json")


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
        return Problem(400, text)
    if isinstance(error, RequestTimeout):
        return Problem(504, "not done within -http_timeout: the server is busy, or the texts are too many")
    if isinstance(error, ServerRestarted):  # thrice: the client has asked again by itself
        return Problem(503, "a part of the server was started again while it had this request", retry_after_s=1)
    if isinstance(error, ConnectFailed):
        return Problem(503, text, retry_after_s=5)
    return Problem(500, "an error in the server, see its log")
