"""Texts from standard input: kept in a temporary file, for they are read more than once."""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

from bert_serving.server.bulk.errors import BulkError


@contextmanager
def input_of(argument: str) -> Iterator[str]:
    """Where the input is, within the block: the argument itself, or for "-" a file with all of standard input."""
    if argument != "-":
        yield argument
        return
    if sys.stdin is None:
        raise BulkError("standard input is closed: name a file")
    with tempfile.NamedTemporaryFile(prefix="bert-serving-stdin-") as file:
        shutil.copyfileobj(sys.stdin.buffer, file)
        file.flush()
        yield file.name
