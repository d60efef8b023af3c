"""Texts from standard input: kept in a temporary file, for they are read more than once."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from bert_serving.server.bulk.errors import BulkError
from bert_serving.server.transport.temporary import temporary_folder


@contextmanager
def input_of(argument: str) -> Iterator[str]:
    """Where the input is, within the block: the argument itself, or for "-" a file with all of standard input."""
    if argument != "-":
        yield argument
        return
    if sys.stdin is None:
        raise BulkError("standard input is closed: name a file")
    with temporary_folder("bert-serving-stdin-", "standard input", "TMPDIR") as folder:
        kept = folder / "texts"
        try:
            with kept.open("wb") as file:
                shutil.copyfileobj(sys.stdin.buffer, file)
        except OSError as error:
            why = f"standard input cannot be kept in {folder.parent}: {error.strerror}"
            raise BulkError(f"{why}: let TMPDIR name a folder with room") from None
        yield str(kept)
