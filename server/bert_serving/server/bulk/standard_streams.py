"""`-` instead of a file: texts from standard input, which are read more than once, and vectors to standard output."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout

from bert_serving.server.bulk.errors import BulkError
from bert_serving.server.transport.temporary import temporary_folder

_STREAM = "-"
_PREFIX = "bert-serving-std"
_TEXT_FORMAT = "jsonl"


@contextmanager
def input_of(argument: str) -> Iterator[str]:
    """Where the input is, within the block: the argument itself, or for "-" a file with all of standard input."""
    if argument != _STREAM:
        yield argument
        return
    if sys.stdin is None:
        raise BulkError("standard input is closed: name a file")
    with temporary_folder(f"{_PREFIX}in-", "standard input", "TMPDIR") as folder:
        kept = folder / "texts"
        try:
            with kept.open("wb") as file:
                shutil.copyfileobj(sys.stdin.buffer, file)
        except OSError as error:
            why = f"standard input cannot be kept in {folder.parent}: {error.strerror}"
            raise BulkError(f"{why}: set TMPDIR to a folder with enough space") from None
        yield str(kept)


@contextmanager
def output_of(argument: str, kind: str | None) -> Iterator[str]:
    """Where the output goes: the argument itself, or for "-" a file that is written to standard output at the end.

    Within the block, what would be printed goes to standard error then. Nothing is written if the block fails.
    """
    if argument != _STREAM:
        yield argument
        return
    kind = kind or _TEXT_FORMAT
    if sys.stdout.isatty() and kind != _TEXT_FORMAT:
        raise BulkError(
            f"{kind} is binary, and standard output is a terminal: name a file, or write -output_format jsonl"
        )
    with temporary_folder(f"{_PREFIX}out-", "standard output", "TMPDIR") as folder:
        kept = folder / f"vectors.{kind}"
        with redirect_stdout(sys.stderr):
            yield str(kept)
        with kept.open("rb") as file:
            shutil.copyfileobj(file, sys.stdout.buffer)
        sys.stdout.flush()


def check_single(argument: str, output: str, outputs: list[str]) -> None:
    """Raises BulkError if several files would go to standard output."""
    if argument == _STREAM and outputs != [output]:
        raise BulkError("-: standard output takes the vectors of one file, but IN is several files: name a folder")
