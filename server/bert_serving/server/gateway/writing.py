"""Answers with vectors as JSON or as octets: in one piece if they are small, else piece by piece, as they are read.

A large answer is never whole in memory but as the array that came: its JSON has three times that size.
"""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator, Iterator
from typing import Any

import numpy as np
import orjson
from starlette.responses import Response, StreamingResponse

from bert_serving.client.wire import RowsReply

OCTETS = "application/octet-stream"
JSON = "application/json"
PIECE_BYTES = 1 << 19
"""Of an array; some milliseconds of work."""


def as_json(content: Any) -> Response:
    """Any JSON that is small."""
    return Response(_dumped(content), media_type=JSON)


def as_octets(array: Any) -> Response:
    """Little-endian float32, and their shape as a header."""
    array = np.ascontiguousarray(array, "<f4")
    headers = {"X-Shape": ",".join(map(str, array.shape)), "X-Dtype": "float32"}
    if array.nbytes <= PIECE_BYTES:
        return Response(array.tobytes(), headers=headers, media_type=OCTETS)
    headers["Content-Length"] = str(array.nbytes)
    pieces = (piece.tobytes() for _, piece in _pieces(array))
    return StreamingResponse(_each(pieces), headers=headers, media_type=OCTETS)


def as_results(reply: RowsReply, request_id: Any, show_tokens: bool) -> Response:
    """As 1.10 answered."""
    after: dict[str, Any] = {"status": 200}
    if show_tokens:
        after["tokens"] = reply.tokens
    if reply.truncated:
        after["truncated"] = reply.truncated
    rows = (_dumped(piece)[1:-1] for _, piece in _pieces(reply.array))
    return _with_list({"id": request_id}, "results", rows, after, reply.array)


def as_embeddings(vectors: Any, is_base64: bool, after: dict[str, Any]) -> Response:
    """As OpenAI's API answers."""

    def data() -> Iterator[bytes]:
        for start, piece in _pieces(vectors):
            shown = _as_base64(piece) if is_base64 else list(piece)
            found = [{"object": "embedding", "index": start + at, "embedding": row} for at, row in enumerate(shown)]
            yield _dumped(found)[1:-1]

    return _with_list({"object": "list"}, "data", data(), after, vectors)


def _with_list(
    before: dict[str, Any], name: str, items: Iterator[bytes], after: dict[str, Any], array: Any
) -> Response:
    """A JSON object whose one long field comes in pieces."""

    def written() -> Iterator[bytes]:
        yield _dumped(before)[:-1] + b',"%s":[' % name.encode()
        for number, item in enumerate(items):
            yield b"," + item if number else item
        yield b"]," + _dumped(after)[1:]

    if array.nbytes <= PIECE_BYTES:
        return Response(b"".join(written()), media_type=JSON)
    return StreamingResponse(_each(written()), media_type=JSON)


def _pieces(array: Any) -> Iterator[tuple[int, Any]]:
    """Rows of about `PIECE_BYTES`, each with the index of its first."""
    step = max(1, PIECE_BYTES * len(array) // max(1, array.nbytes))
    for start in range(0, len(array), step):
        yield start, array[start : start + step]


async def _each(pieces: Iterator[bytes]) -> AsyncIterator[bytes]:
    """On the loop: an iterator that is none of asyncio's would be run in threads, one change of thread a piece."""
    for piece in pieces:
        yield piece


def _as_base64(vectors: Any) -> list[str]:
    return [base64.b64encode(row.astype("<f4").tobytes()).decode() for row in vectors]


def _dumped(content: Any) -> bytes:
    return orjson.dumps(content, option=orjson.OPT_SERIALIZE_NUMPY)
