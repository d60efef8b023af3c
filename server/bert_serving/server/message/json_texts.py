"""Lists of texts as JSON, read fast where they are what nearly all are. Pure.

What `read` gives is what Python's own reader gives; where that may not be so it gives nothing, and whoever asks has to
read by that one: it alone takes halves of surrogate pairs and numbers of any length, and says what is wrong.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import chain
from typing import Any

import orjson


def read(content: bytes | memoryview) -> list[Any] | None:
    """A list that is not empty of strings, or of lists of strings or of whole numbers, none of them empty; else None.

    Each is of the same kind. A number that is longer than a machine's word comes as a float, so it is none here.
    """
    try:
        texts = orjson.loads(content)
    except ValueError:
        return None
    if type(texts) is not list or not texts:
        return None
    kinds = set(map(type, texts))
    if kinds == {str}:
        return texts
    if kinds != {list} or not all(texts):
        return None
    return texts if set(map(type, chain.from_iterable(texts))) in ({str}, {int}) else None


def write(texts: Sequence[Any]) -> bytes:
    """As JSON, whatever texts hold."""
    try:
        return orjson.dumps(texts)
    except TypeError:  # half of a surrogate pair, or a long number
        return json.dumps(texts).encode()
