"""From the bytes of a body to what a route takes, at a cost that is bounded before it begins.

JSON of 16 MB may hold millions of lists, which take twenty times the memory of their bytes. So what it holds is
counted before it is parsed; what is left takes at most some times its bytes, and some tens of megabytes.
"""

from __future__ import annotations

import codecs
import gc
import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar, Union, cast

import numpy as np
import orjson
from pydantic import BaseModel, ValidationError

from bert_serving.client.errors import quoted
from bert_serving.server.gateway.problems import Problem
from bert_serving.server.gateway.schemas import TEXT_FIELDS

MOST_ELEMENTS = 500_000
"""Texts, tokens, ids, lists and fields in one body."""
SLICE_BYTES = 1 << 20
_QUOTE, _COMMA, _BRACKET, _BRACE = b'",[{'
_HALF = re.compile("[\ud800-\udfff]")
"""Of a surrogate pair, without its other half: JSON can spell it, and UTF-8 cannot."""
_Body = TypeVar("_Body", bound=BaseModel)


Kind = Union[type[_Body], Callable[[dict[str, Any]], type[_Body]]]
"""What a body is; or what tells that by the fields of one that may be of several kinds. It may raise Problem."""


def parsed(body: bytearray, kind: Kind[_Body]) -> _Body:
    """A field that is null was not given. Problem 400 if it is no JSON, 413 if it holds too much, 422 if it is not what
    the route takes."""
    if body.startswith(codecs.BOM_UTF8):
        del body[: len(codecs.BOM_UTF8)]
    if not body.strip():
        raise Problem(400, "the body is empty: send a JSON object")
    if (number := count_elements(body)) > MOST_ELEMENTS:
        raise Problem(
            413, f"the body holds {number} texts, tokens and lists, and may hold {MOST_ELEMENTS}: send fewer at once"
        )
    try:
        with _without_collection():
            content = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise _with_half(body) or Problem(400, f"the body is not JSON in UTF-8: {error}") from None
    if not isinstance(content, dict):
        raise Problem(422, f"the body must be a JSON object with fields, not {quoted(content)}")
    chosen = cast("type[_Body]", kind if isinstance(kind, type) else kind(content))
    try:
        return chosen.model_validate({name: value for name, value in content.items() if value is not None})
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        param = ".".join(map(str, first["loc"])) or None
        raise Problem(422, f"{param or 'the body'}: {first['msg']}", param=param) from None


def _with_half(body: bytearray) -> Problem | None:
    """The problem of an object that is right but for half of a surrogate pair in it; None if it is something else."""
    try:
        with _without_collection():
            content = json.loads(body)
    except (ValueError, RecursionError):
        return None
    if not isinstance(content, dict):
        return None
    for name, value in content.items():
        for index, one in enumerate(value if isinstance(value, list) else [value]):
            place = f"{name}[{index}]" if isinstance(value, list) else name
            if (half := _half_in([place, one])) is not None:
                return Problem(
                    422,
                    f"{_shown(place)} cannot be sent as UTF-8: it holds {half!r}, half of a surrogate pair",
                    param=_shown(name),
                    index=index if name in TEXT_FIELDS else None,
                )
    return None


def _half_in(value: Any) -> str | None:
    """The first one in a value of JSON, whatever it holds."""
    rest = [value]
    while rest:
        one = rest.pop()
        if isinstance(one, str) and (found := _HALF.search(one)):
            return found[0]
        rest += reversed([*one, *one.values()] if isinstance(one, dict) else one if isinstance(one, list) else [])
    return None


def _shown(text: str) -> str:
    return _HALF.sub("\N{REPLACEMENT CHARACTER}", text)


def count_elements(body: bytes | bytearray) -> int:
    """How many values JSON may hold; more than that only if it is none. Exact only above `MOST_ELEMENTS`."""
    most = body.count(b",") + body.count(b"[") + body.count(b"{")
    return most if most <= MOST_ELEMENTS else sum(_counts_outside_texts(body))


def _counts_outside_texts(body: bytes | bytearray) -> Iterator[int]:
    is_inside = 0
    for piece in _slices(body):
        letters = np.frombuffer(piece.replace(rb"\\", b"__").replace(rb"\"", b"__"), np.uint8)
        quotes = letters == _QUOTE
        inside = (np.cumsum(quotes, dtype=np.uint8) + is_inside) & 1  # of whether the count is odd, a byte holds enough
        begins = (letters == _COMMA) | (letters == _BRACKET) | (letters == _BRACE)
        yield int(np.count_nonzero(begins & (inside == 0)))
        is_inside = (is_inside + int(np.count_nonzero(quotes))) & 1


def _slices(body: bytes | bytearray) -> Iterator[bytes]:
    """None ends within an escape."""
    start = 0
    while start < len(body):
        end = min(start + SLICE_BYTES, len(body))
        while end < len(body) and body[end - 1] == ord("\\"):
            end += 1
        yield bytes(body[start:end])
        start = end


@contextmanager
def _without_collection() -> Iterator[None]:
    """Half a million new lists would be looked through again and again meanwhile, which stops all other threads."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
