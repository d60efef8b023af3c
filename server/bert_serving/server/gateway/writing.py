"""Answers with vectors as JSON or as octets: in one piece if they are small, else piece by piece, as they are read.

A large answer is never whole in memory but as the array that came: its JSON has three times that size.
"""

from __future__ import annotations

import base64
import itertools
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


def as_results(
    reply: RowsReply, request_id: Any, *, show_tokens: bool, by_views: bool = False, offsets: bool = False
) -> Response:
    """As 1.10 answered; `by_views` with a list of rows for each view, `offsets` with where tokens and chunks stand."""
    after: dict[str, Any] = {"status": 200}
    if show_tokens or (offsets and reply.tokens):
        after["tokens"] = reply.tokens
    if reply.truncated:
        after["truncated"] = reply.truncated
    if offsets:
        after |= {"offsets": reply.offsets, "chunks": reply.chunks}
    rows = _of_views(reply) if by_views else _rows(reply.array)
    return _with_list({"id": request_id}, "results", rows, after, reply.array)


def as_list(array: Any) -> Response:
    """The rows of an array and nothing else."""
    return _written(itertools.chain([b"["], _rows(array), [b"]"]), array)


def as_matrices(array: Any) -> Response:
    """A list of vectors for each text, without the zeros that fill up `[B, T, D]`."""

    def written() -> Iterator[bytes]:
        for number, matrix in enumerate(array):
            there = np.flatnonzero(matrix.any(axis=1))
            length = there[-1] + 1 if len(there) else 0
            yield b",[" if number else b"["
            yield from _rows(matrix[:length])
            yield b"]"

    return _written(itertools.chain([b"["], written(), [b"]"]), array)


def as_field(before: dict[str, Any], name: str, array: Any, after: dict[str, Any]) -> Response:
    """An object with the rows of an array in one field, and others before and after it."""
    return _with_list(before, name, _rows(array), after, array)


def as_embeddings(vectors: Any, is_base64: bool, after: dict[str, Any]) -> Response:
    """As OpenAI's API answers."""

    def data() -> Iterator[bytes]:
        for start, piece in _pieces(vectors):
            shown = _as_base64(piece) if is_base64 else list(piece)
            found = [{"object": "embedding", "index": start + at, "embedding": row} for at, row in enumerate(shown)]
            yield (b"," if start else b"") + _dumped(found)[1:-1]

    return _with_list({"object": "list"}, "data", data(), after, vectors)


def _with_list(
    before: dict[str, Any], name: str, items: Iterator[bytes], after: dict[str, Any], array: Any
) -> Response:
    """A JSON object whose one long field comes in pieces."""
    head = _dumped(before)[:-1] + (b"," if before else b"") + b'"%s":[' % name.encode()
    return _written(itertools.chain([head], items, [b"]" + (b"," if after else b"") + _dumped(after)[1:]]), array)


def _written(pieces: Iterator[bytes], array: Any) -> Response:
    """In one piece if the array that it tells of is small."""
    if array.nbytes <= PIECE_BYTES:
        return Response(b"".join(pieces), media_type=JSON)
    return StreamingResponse(_each(pieces), media_type=JSON)


def _rows(array: Any) -> Iterator[bytes]:
    """What stands between the brackets of a list of rows."""
    for start, piece in _pieces(array):
        yield (b"," if start else b"") + _dumped(np.ascontiguousarray(piece))[1:-1]


def _of_views(reply: RowsReply) -> Iterator[bytes]:
    """What stands between the brackets of a list of views, each a list of rows."""
    begin = 0
    for width in reply.views or reply.array.shape[-1:]:
        yield b",[" if begin else b"["
        yield from _rows(reply.array[..., begin : begin + width])
        yield b"]"
        begin += width


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
