"""Detects the format of a file of texts, from both its name and its content."""

from __future__ import annotations

import csv
import json
import re
from dataclasses import dataclass, replace

from bert_serving.server.bulk.errors import BulkError
from bert_serving.server.bulk.locations import Location
from bert_serving.server.bulk.opened import HEAD_BYTES, encoding_of, head_of, plain_name

INPUT_FORMATS = ("text", "jsonl", "json", "csv", "tsv", "parquet")
QUOTES = ("auto", "yes", "no")
_BY_SUFFIX = {
    ".txt": "text", ".text": "text", ".jsonl": "jsonl", ".ndjson": "jsonl", ".jsonlines": "jsonl", ".json": "json",
    ".csv": "csv", ".tsv": "tsv", ".tab": "tsv", ".parquet": "parquet", ".pq": "parquet",
}  # fmt: skip
_DELIMITERS = {"csv": ",;\t|", "tsv": "\t,;|"}
"""Of a table with that ending, the likeliest first."""
_NO_DELIMITER = "\x1f"
"""Of a table of one column: commas in it are a part of the texts."""
_PARQUET = b"PAR1"


@dataclass(frozen=True)
class Reading:
    """How texts are read from a file: what the command line says, and after `settled` what the file says.

    `column` is where they are in JSON, tables and Parquet. `quotes`: whether they enclose cells of a table, "yes" or
    "no"; "auto": as spreadsheets write it, but between tabs not, as corpora do. None: to be found out.
    """

    column: str = "text"
    format: str | None = None
    delimiter: str | None = None
    quotes: str = "auto"
    encoding: str | None = None
    newline: str | None = None
    note: str = ""
    """What whoever started the job should know of this."""
    doubts_quotes: bool = False
    """Nobody said whether quotes enclose cells."""


def settled(location: Location, wanted: Reading) -> Reading:
    """How to read this file. Raises BulkError where that cannot be told, or where name and content say two things."""
    head = head_of(location)
    if wanted.format in (None, "parquet") and head.startswith(_PARQUET):
        return replace(wanted, format="parquet")
    if wanted.format == "parquet" or (wanted.format is None and _named(location) == "parquet"):
        raise BulkError(
            f"{location.name} cannot be read as Parquet: copy it again, or name its format with -input_format"
        )
    encoding = encoding_of(location, head, wanted.encoding)
    text = head.decode(encoding, "replace")
    kind = wanted.format or _format_of(location, text, len(head) < HEAD_BYTES, wanted.column)
    reading = replace(wanted, format=kind, encoding=encoding, newline=_newline_of(text))
    if kind in _DELIMITERS:
        return _as_table(location, reading, text)
    named = _named(location)
    note = f"read as {kind} because of how it begins; -input_format {named or 'text'} overrides this"
    return replace(reading, note="" if wanted.format or kind == (named or "text") else note)


def _named(location: Location) -> str | None:
    return _BY_SUFFIX.get(plain_name(location.last).suffix.lower())


def _newline_of(text: str) -> str:
    """The end of a line: a line feed, but in files of old Macs, which have none."""
    return "\r" if "\r" in text and "\n" not in text else "\n"


# -- text, JSON or a table --------------------------------------------------------------------------------------------


def _format_of(location: Location, text: str, is_all: bool, column: str) -> str:
    named = _named(location)
    begin = text.lstrip()
    if named in ("json", "jsonl") and begin[:1] not in ("[", "{", '"', ""):
        raise BulkError(
            f"{location.name} begins with {begin[:20]!r}, which is not a JSON list or object: name its format "
            "with -input_format"
        )
    if begin[:1] == "{":
        return _format_of_objects(location, begin, named, column)
    if begin[:1] == "[" and _begins_list(begin, is_all):
        return "json"
    return named or "text"


def _format_of_objects(location: Location, begin: str, named: str | None, column: str) -> str:
    line = begin.split("\n", 1)[0]
    content = _object_in(line)
    if named in ("json", "jsonl"):
        return named if content is None or named == "jsonl" else "jsonl"
    if content is None:  # no JSON after all: curly brackets may begin any text
        return named or "text"
    if column in content:
        return "jsonl"
    raise BulkError(
        f"{location.name} looks like JSON lines, and its first one has {_names(content)} but no {column!r}: "
        "name the field of the texts with -column, or encode whole lines with -input_format text"
    )


def _object_in(line: str) -> dict[str, object] | None:
    try:
        content = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return content if isinstance(content, dict) else None


def _names(content: dict[str, object]) -> str:
    return ", ".join(map(repr, list(content)[:5])) or "nothing"


def _begins_list(begin: str, is_all: bool) -> bool:
    """Whether this is a list of strings or objects, as JSON has it, and not a text that begins with a bracket."""
    position = _skip_blanks(begin, 1)
    while begin[position : position + 1] in ('"', "{"):
        try:
            _, position = _DECODER.raw_decode(begin, position)
        except (ValueError, RecursionError):
            return not is_all
        position = _skip_blanks(begin, position)
        if begin[position : position + 1] != ",":
            break
        position = _skip_blanks(begin, position + 1)
    if position == len(begin):
        return not is_all
    return begin[position] == "]" and not begin[position + 1 :].strip()


_DECODER = json.JSONDecoder()
_BLANKS = re.compile(r"[ \t\n\r]*")


def _skip_blanks(text: str, position: int) -> int:
    found = _BLANKS.match(text, position)
    return found.end() if found else position


# -- tables -----------------------------------------------------------------------------------------------------------


def _as_table(location: Location, reading: Reading, text: str) -> Reading:
    """With its delimiter, and whether quotes enclose cells."""
    lines = text.splitlines()
    first = lines[0] if lines else ""
    delimiter = reading.delimiter or _delimiter_of(location, first, reading)
    if reading.quotes != "auto":
        return replace(reading, delimiter=delimiter)
    is_quoted = reading.column not in first.split(delimiter)  # a spreadsheet that puts even names in quotes
    quotes = "yes" if delimiter != "\t" or is_quoted else "no"
    note = ""
    if quotes == "no" and (line := next((n for n, one in enumerate(lines, 1) if _QUOTED.search(one)), None)):
        note = f"line {line} has quotes as spreadsheets write them, which are kept in the texts: see -quotes"
    return replace(reading, delimiter=delimiter, quotes=quotes, note=note, doubts_quotes=True)


_QUOTED = re.compile(r'(?:^|\t)"[^\t"]*(?:""[^\t"]*)+"(?:\t|$)')
"""A cell in quotes, in which quotes are doubled."""


def _delimiter_of(location: Location, first: str, reading: Reading) -> str:
    assert reading.format is not None
    candidates = _DELIMITERS[reading.format]
    if _cells(first, candidates[0]) == [reading.column]:
        return _NO_DELIMITER
    for delimiter in candidates:
        if reading.column in _cells(first, delimiter):
            return delimiter
    fits = [delimiter for delimiter in candidates if delimiter in first] or [candidates[0]]
    raise no_column(location, reading.column, _cells(first, fits[0]))


def _cells(line: str, delimiter: str) -> list[str]:
    return next(csv.reader([line], delimiter=delimiter), [])


def no_column(location: Location, column: str, names: list[str]) -> BulkError:
    """The error for a file without the column."""
    has = ", ".join(map(repr, names)) or "none"
    return BulkError(f"{location.name} has no column {column!r}, but {has}: name the column of the texts with -column")
