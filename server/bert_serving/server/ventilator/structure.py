"""Where the list's own values are in a piece of JSON, found for all bytes at once. Pure; `text_list.py` asks it.

A piece begins with a value, or with what is taken for one; whatever is found counts only once the piece up to the end
that is named here has been parsed.
"""

from __future__ import annotations

import json
from typing import Any, NamedTuple

import numpy as np

from bert_serving.client.errors import MalformedMessage

SPACE = b" \t\n\r"
_DECODER = json.JSONDecoder()
_QUOTE, _OPEN, _CLOSE, _COMMA, _BRACE = 1, 2, 3, 4, 5
_KINDS = bytes(b'"[],{'.find(b"{" if byte == 0x7D else bytes([byte])) + 1 for byte in range(256))  # 0: no such byte

Places = np.ndarray[Any, np.dtype[np.int64]]


class Values(NamedTuple):
    """Where the values are that end in a piece: each ends at one of the `commas`, or the last one at the list's end.

    `cut` is where the last one ends, and the longest has about `longest` bytes.
    """

    commas: Places
    cut: int
    is_end: bool
    longest: int


def strings(piece: bytes) -> Values | None:
    """As `values` if all are strings with no space behind them, in a third of the time; None if they may be others."""
    content = np.frombuffer(without_escaped(piece), np.uint8)
    quotes = np.flatnonzero(content == ord('"'))
    if len(quotes) and quotes[-1] + 1 == len(piece):
        quotes = quotes[:-1]  # what follows it has not arrived yet
    number = len(quotes) // 2
    if not number:
        return None
    begins, ends = quotes[: 2 * number : 2], quotes[1 : 2 * number : 2]
    behind = content[ends + 1]
    is_end = bool(behind[-1] == ord("]"))
    commas = (ends + 1)[: number - is_end]
    if not (content[commas] == ord(",")).all():
        return None
    return Values(commas, int(ends[-1]) + 1, is_end, int((ends - begins).max()) + 1)


def values(piece: bytes, deepest: int) -> Values | None:
    """Whatever the values are; None if none of them ends here.

    Raises MalformedMessage if lists are nested deeper than `deepest`.
    """
    kinds = np.frombuffer(without_escaped(piece).translate(_KINDS), np.uint8)
    places = np.flatnonzero(kinds != 0)  # of bools it is found six times as fast
    kinds = kinds[places]
    is_quote = kinds == _QUOTE
    outside = ~is_quote & (np.cumsum(is_quote) % 2 == 0)
    places, kinds = places[outside], kinds[outside]
    levels = np.cumsum(np.where(kinds == _OPEN, 1, np.where(kinds == _CLOSE, -1, 0)))
    ends = np.flatnonzero(levels < 0)
    if len(ends):
        kinds, levels = kinds[: ends[0]], levels[: ends[0]]
    if len(levels) and (levels.max() > deepest or (kinds == _BRACE).any()):
        raise MalformedMessage("frame 1 must be a JSON list of texts: strings, or lists of strings or of ids")
    commas = places[: len(kinds)][(kinds == _COMMA) & (levels == 0)]
    if not len(ends) and not len(commas):
        return None
    cut = int(places[ends[0]]) if len(ends) else int(commas[-1])
    longest = int(np.diff(np.concatenate(([-1], commas, [cut]))).max()) - 1
    return Values(commas, cut, bool(len(ends)), longest)


def without_escaped(piece: bytes) -> bytes:
    """As long, with the escaped quotes and backslashes of its strings gone; it begins outside an escape."""
    return piece.replace(b"\\\\", b"__").replace(b'\\"', b"__") if b"\\" in piece else piece


def load(piece: bytes) -> Any:
    """What a piece says that is JSON by itself. Raises MalformedMessage."""
    try:
        return _DECODER.decode(piece.decode("utf-8", "surrogatepass"))
    except (ValueError, RecursionError) as error:
        raise MalformedMessage(f"frame 1 (texts) is not JSON: {str(error)[:200]}") from None
