"""Input files: one record a text, with the line that it stands on and what is wrong with it. Memory stays flat."""

from __future__ import annotations

import csv
import json
import sys
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from io import TextIOWrapper
from pathlib import PurePath
from typing import Any

from bert_serving.server.bulk.errors import BulkError, require
from bert_serving.server.bulk.locations import Location


@dataclass(frozen=True, slots=True)
class Record:
    """One text. `line` is that of the file, or the number of the row, from 1; `trouble` says why it is none."""

    line: int
    text: str
    trouble: str | None = None


class Source(ABC):
    """A file of texts, which can be read again and again."""

    def __init__(self, location: Location, column: str) -> None:
        self.location = location
        self.column = column

    @property
    def name(self) -> str:
        """Of the file."""
        return self.location.name

    @abstractmethod
    def read(self) -> Iterator[Record]:
        """All records in order. Raises BulkError if the file as a whole cannot be read."""

    def count(self) -> int:
        """How many records there are."""
        return sum(1 for _ in self.read())

    def _judged(self, line: int, value: Any) -> Record:
        if value is None:
            return Record(line, "", f"it has no {self.column!r}")
        if not isinstance(value, str):
            return Record(line, "", f"its {self.column!r} is of the type {type(value).__name__}, not a text")
        if not value.strip():
            return Record(line, value, "the text is blank")
        if not _is_unicode(value):
            return Record(line, "", "it is not UTF-8")
        return Record(line, value)


class _Lines(Source):
    """Plain text, a text a line."""

    def read(self) -> Iterator[Record]:
        for number, line in _lines(self.location):
            yield self._judged(number, line)


class _JsonLines(Source):
    """A JSON object a line."""

    def read(self) -> Iterator[Record]:
        for number, line in _lines(self.location):
            yield self._parsed(number, line)

    def _parsed(self, number: int, line: str) -> Record:
        if not line.strip():
            return Record(number, "", "the line is blank")
        try:
            content = json.loads(line)
        except (json.JSONDecodeError, RecursionError) as error:
            return Record(number, "", f"it is not JSON: {error}")
        if not isinstance(content, dict):
            return Record(number, "", f"it is no JSON object but of the type {type(content).__name__}")
        return self._judged(number, content.get(self.column))


class _Table(Source):
    """Comma- or tab-separated values under a line of names. A cell may hold several lines."""

    def read(self) -> Iterator[Record]:
        csv.field_size_limit(sys.maxsize)
        with _opened(self.location, newline="") as file:
            reader = csv.reader(file, delimiter="\t" if self.location.last.endswith(".tsv") else ",")
            names = next(reader, [])
            if self.column not in names:
                raise _no_column(self, names)
            index, line = names.index(self.column), reader.line_num + 1
            try:
                for row in reader:
                    if row:
                        yield self._judged(line, row[index] if index < len(row) else None)
                    else:
                        yield Record(line, "", "the line is blank")
                    line = reader.line_num + 1
            except csv.Error as error:
                raise BulkError(f"{self.name}, line {line}: {error}") from None


class _Parquet(Source):
    """A column of a Parquet file."""

    def read(self) -> Iterator[Record]:
        import pyarrow.parquet as parquet
        from pyarrow import ArrowException

        try:
            with self.location.open() as opened, parquet.ParquetFile(opened) as file:
                if self.column not in file.schema_arrow.names:
                    raise _no_column(self, file.schema_arrow.names)
                line = 0
                for batch in file.iter_batches(columns=[self.column]):
                    for value in batch.column(0):
                        line += 1
                        yield self._value(line, value)
        except ArrowException as error:
            raise BulkError(f"{self.name} cannot be read as Parquet: {error}") from None

    def _value(self, line: int, value: Any) -> Record:
        try:
            return self._judged(line, value.as_py())
        except UnicodeDecodeError:
            return Record(line, "", "it is not UTF-8")


_SOURCES: dict[str, type[Source]] = {"text": _Lines, "jsonl": _JsonLines, "csv": _Table, "parquet": _Parquet}
_BY_SUFFIX = {".jsonl": "jsonl", ".ndjson": "jsonl", ".csv": "csv", ".tsv": "csv", ".parquet": "parquet"}
INPUT_FORMATS = tuple(_SOURCES)


def open_source(location: Location, column: str, kind: str | None = None) -> Source:
    """The file as a source; `kind` is one of INPUT_FORMATS, by default what the name ends in. Raises BulkError."""
    if not location.is_file():
        raise BulkError(f"{location.name} is not a file" if location.exists() else f"{location.name} is not there")
    kind = kind or _BY_SUFFIX.get(PurePath(location.last).suffix.lower(), "text")
    if kind == "parquet":
        require("pyarrow", "Parquet")
    return _SOURCES[kind](location, column)


def _opened(location: Location, newline: str) -> TextIOWrapper:
    """Bytes that are not UTF-8 become halves of surrogates."""
    return TextIOWrapper(location.open(), encoding="utf-8-sig", errors="surrogateescape", newline=newline)


def _lines(location: Location) -> Iterator[tuple[int, str]]:
    """Numbered from 1."""
    with _opened(location, newline="\n") as file:
        for number, line in enumerate(file, 1):
            yield number, line.rstrip("\r\n")


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _no_column(source: Source, names: list[str]) -> BulkError:
    has = ", ".join(map(repr, names)) or "none"
    return BulkError(
        f"{source.name} has no column {source.column!r}, but {has}: name the one with the texts by -column"
    )
