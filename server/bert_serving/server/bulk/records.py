"""Input files: one record for each text, with its line number and what is wrong with it. Memory use is constant."""

from __future__ import annotations

import csv
import json
import re
import sys
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import IO, Any, Literal

from bert_serving.client.checks import is_blank
from bert_serving.server.bulk.errors import BulkError, require
from bert_serving.server.bulk.formats import Reading, no_column, settled
from bert_serving.server.bulk.locations import Location
from bert_serving.server.bulk.opened import opened_bytes, opened_text

_CHUNK = 1 << 16
_BLANKS = re.compile(r"[ \t\n\r]*")


@dataclass(frozen=True, slots=True)
class Record:
    """One text. `line` is that of the file, or the number of the row or element, from 1; `trouble`: why it is none."""

    line: int
    text: str
    trouble: str | None = None


class Source(ABC):
    """A file of texts, which can be read again and again. `reading` is `settled` for this file."""

    def __init__(self, location: Location, reading: Reading) -> None:
        self.location = location
        self.reading = reading

    @property
    def name(self) -> str:
        """Of the file."""
        return self.location.name

    @property
    def column(self) -> str:
        """Where the texts are."""
        return self.reading.column

    @abstractmethod
    def read(self) -> Iterator[Record]:
        """All records in order. Raises BulkError if the file as a whole cannot be read."""

    def count(self) -> int:
        """How many records there are."""
        return sum(1 for _ in self.read())

    def _lines(self) -> Iterator[tuple[int, str]]:
        """Numbered from 1."""
        encoding, newline = self.reading.encoding or "utf-8", self.reading.newline
        with opened_text(self.location, encoding, newline) as file:
            for number, line in enumerate(file, 1):
                yield number, line.rstrip("\r\n")

    def _judged(self, line: int, value: Any) -> Record:
        if value is None:
            return Record(line, "", f"it has no {self.column!r}")
        if not isinstance(value, str):
            return Record(line, "", f"its {self.column!r} is of type {type(value).__name__}, not a text")
        if is_blank(value):
            return Record(line, value, "the text is blank")
        if not _is_unicode(value):
            return Record(line, "", self._not_unicode)
        return Record(line, value)

    @property
    def _not_unicode(self) -> str:
        encoding = self.reading.encoding or "utf-8"
        if encoding.startswith("utf-8"):
            return "it is not UTF-8: name the file's encoding, such as -encoding cp1252"
        return f"it is not {encoding}: name the file's encoding with -encoding"

    def _value(self, number: int, content: Any) -> Record:
        """What JSON has for one text: a string, or an object with the column in it."""
        if isinstance(content, str):
            return self._judged(number, content)
        if not isinstance(content, dict):
            return Record(number, "", f"it is not a JSON object but of type {type(content).__name__}")
        return self._judged(number, content.get(self.column))


class _Lines(Source):
    """Plain text, a text a line."""

    def read(self) -> Iterator[Record]:
        for number, line in self._lines():
            yield self._judged(number, line)


class _JsonLines(Source):
    """A JSON object or string a line."""

    def read(self) -> Iterator[Record]:
        for number, line in self._lines():
            yield self._parsed(number, line)

    def _parsed(self, number: int, line: str) -> Record:
        if not line.strip():
            return Record(number, "", "the line is blank")
        try:
            return self._value(number, json.loads(line))
        except (json.JSONDecodeError, RecursionError) as error:
            return Record(number, "", f"it is not JSON: {error}")


class _JsonList(Source):
    """One JSON list of objects or strings."""

    def read(self) -> Iterator[Record]:
        number = 0
        with opened_text(self.location, self.reading.encoding or "utf-8", newline="") as file:
            try:
                for number, value in enumerate(_elements(file), 1):
                    yield self._value(number, value)
            except (ValueError, RecursionError) as error:
                if isinstance(error, UnicodeError):
                    raise
                raise BulkError(f"{self.name} is not a JSON list of texts: element {number + 1}: {error}") from None


def _elements(file: IO[str]) -> Iterator[Any]:
    """The elements of a list, each read when its turn comes. Raises ValueError or RecursionError."""
    decoder, text, position, size = json.JSONDecoder(), file.read(_CHUNK), 0, _CHUNK

    def more() -> bool:
        """Read on, twice as much each time until an element is whole."""
        nonlocal text, position, size
        added = file.read(size)
        text, position, size = text[position:] + added, 0, 2 * size
        return bool(added)

    def sign() -> str:
        """The next character that is not blank."""
        nonlocal position
        while True:
            found = _BLANKS.match(text, position)
            position = found.end() if found else position
            if position < len(text) or not more():
                return text[position : position + 1]

    if sign() != "[":
        begin = text[position : position + 20]
        raise ValueError(f"it begins with {begin!r}, but a list, or one object per line, is expected")
    position += 1
    if sign() == "]":
        return
    while True:
        sign()
        try:
            value, end = decoder.raw_decode(text, position)
        except ValueError:
            if not more():
                raise
            continue
        position, size = end, _CHUNK
        yield value
        after = sign()
        position += 1
        if after == "]":
            break
        if after != ",":
            raise ValueError(f"a comma is missing before {text[position - 1 : position + 19]!r}")
    if sign():
        raise ValueError(f"after its end comes {text[position : position + 20]!r}")


class _Table(Source):
    """Values under a line of names, with a delimiter between. A cell in quotes may hold several lines."""

    def read(self) -> Iterator[Record]:
        csv.field_size_limit(sys.maxsize)
        quoting: Literal[0, 3] = csv.QUOTE_MINIMAL if self.reading.quotes == "yes" else csv.QUOTE_NONE
        with opened_text(self.location, self.reading.encoding or "utf-8", newline="") as file:
            seen = _Seen(file)
            reader = csv.reader(seen, delimiter=self._delimiter, quoting=quoting, strict=True)
            try:
                names = next(reader, [])
                if self.column not in names:
                    raise no_column(self.location, self.column, names)
                yield from self._rows(reader, seen, names)
            except csv.Error as error:
                raise BulkError(
                    f"{self.name}, line {seen.number}: {error}; if quotes are part of the texts, add -quotes no"
                ) from None

    def _rows(self, reader: Any, seen: _Seen, names: list[str]) -> Iterator[Record]:
        index, line = names.index(self.column), reader.line_num + 1
        seen.row.clear()
        for row in reader:
            if trouble := self._trouble_of(row, seen.row, len(names)):
                yield Record(line, "", trouble)
            else:
                yield self._judged(line, row[index] if index < len(row) else None)
            line = reader.line_num + 1
            seen.row.clear()

    def _trouble_of(self, row: list[str], lines: list[str], width: int) -> str | None:
        """Why these lines are no row, if the cells are not what they were meant to be."""
        if not row:
            return "the line is blank"
        if any(map(str.strip, row[width:])):
            return f"it has {len(row)} cells, but the first line of the file has {width}: see -delimiter and -quotes"
        inner = lines[1:-1]
        look_like_rows = width > 1 and all(line.count(self._delimiter) == width - 1 for line in inner)
        if self.reading.doubts_quotes and inner and look_like_rows:
            return (
                f"its quotes enclose {len(lines)} lines that look like rows of their own: if quotes are part of "
                "the texts, add -quotes no, else -quotes yes"
            )
        return None

    @property
    def _delimiter(self) -> str:
        return self.reading.delimiter or ","


class _Seen:
    """Lines of a file, of which those of the row that is being read are remembered."""

    def __init__(self, lines: Iterable[str]) -> None:
        self._lines = iter(lines)
        self.row: list[str] = []
        self.number = 0

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = next(self._lines)
        self.number += 1
        self.row.append(line)
        return line


class _Parquet(Source):
    """A column of a Parquet file."""

    def read(self) -> Iterator[Record]:
        import pyarrow.parquet as parquet
        from pyarrow import ArrowException

        try:
            with opened_bytes(self.location) as opened, parquet.ParquetFile(opened) as file:
                if self.column not in file.schema_arrow.names:
                    raise no_column(self.location, self.column, file.schema_arrow.names)
                line = 0
                for batch in file.iter_batches(columns=[self.column]):
                    for value in batch.column(0):
                        line += 1
                        yield self._text_of(line, value)
        except ArrowException as error:
            raise BulkError(f"{self.name} cannot be read as Parquet: {error}") from None

    def _text_of(self, line: int, value: Any) -> Record:
        try:
            return self._judged(line, value.as_py())
        except UnicodeDecodeError:
            return Record(line, "", "it is not UTF-8")


_SOURCES: dict[str, type[Source]] = {
    "text": _Lines, "jsonl": _JsonLines, "json": _JsonList, "csv": _Table, "tsv": _Table, "parquet": _Parquet,
}  # fmt: skip


def open_source(location: Location, wanted: Reading) -> Source:
    """The file as a source. Raises BulkError if it is none, or if it cannot be told how to read it."""
    if not location.is_file():
        raise BulkError(f"{location.name} is not a file" if location.exists() else f"{location.name} does not exist")
    reading = settled(location, wanted)
    assert reading.format is not None
    if reading.format == "parquet":
        require("pyarrow", "Parquet")
    return _SOURCES[reading.format](location, reading)


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
