"""Which files a job encodes, and where the vectors of each go. Errors are reported before work begins."""

from __future__ import annotations

import sys
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bert_serving.server.bulk.errors import BulkError
from bert_serving.server.bulk.formats import Reading
from bert_serving.server.bulk.locations import LocalPath, Location, has_pattern, location_of
from bert_serving.server.bulk.opened import plain_name
from bert_serving.server.bulk.outputs import output_kind
from bert_serving.server.bulk.records import Source, open_source

_LEFT_OUT = (".", "_")
"""How names of files begin that are in a folder for programs, such as `_SUCCESS`."""


@dataclass(frozen=True)
class Task:
    """One file to encode. `part` is where its spool is until `output` is there as a whole."""

    source: Source
    output: Location
    kind: str
    part: Path


@dataclass(frozen=True)
class Wanted:
    """What the command line says of files. `spools` is the folder for the spools of outputs that a URL leads to."""

    input: str
    output: str
    reading: Reading
    output_format: str | None
    spools: Path


def tasks_of(wanted: Wanted) -> list[Task]:
    """A task for each file of the input, by name. Raises BulkError."""
    given, output = location_of(wanted.input), location_of(wanted.output)
    inputs: Sequence[Location] | None = None
    if given.is_folder():
        inputs = _without_hidden(given)
    elif has_pattern(wanted.input) and not given.exists():
        inputs = given.matches()
    if inputs is None:
        return [_task(given, output, output_kind(output.name, wanted.output_format), wanted)]
    if not inputs:
        raise BulkError(f"{given.name}: there is no file to encode")
    return _tasks_of_several(inputs, output, wanted)


def _tasks_of_several(inputs: Sequence[Location], folder: Location, wanted: Wanted) -> list[Task]:
    if folder.is_file():
        raise BulkError(f"{folder.name} is a file, but {wanted.input} is several files: name a folder")
    kind = output_kind(folder.name, wanted.output_format or "npy")
    tasks: dict[str, Task] = {}
    for location in inputs:
        if location.parent().key == folder.key:
            raise BulkError(f"{location.name} is in {folder.name}: name another folder for the vectors")
        last = f"{plain_name(location.last).stem}.{kind}"
        if last in tasks:
            raise BulkError(
                f"{tasks[last].source.name} and {location.name} would both become {last}: rename one of them"
            )
        tasks[last] = _task(location, folder.child(last), kind, wanted)
    return list(tasks.values())


def _task(location: Location, output: Location, kind: str, wanted: Wanted) -> Task:
    if output.is_folder():
        raise BulkError(f"{output.name} is a folder: name a file in it")
    return Task(open_source(location, wanted.reading), output, kind, _part(output, wanted.spools))


def _part(output: Location, spools: Path) -> Path:
    if isinstance(output, LocalPath):
        return output.path.with_name(f"{output.last}.part")
    return spools / f"{output.last}-{zlib.crc32(output.name.encode()):08x}.part"


def _without_hidden(folder: Location) -> list[Location]:
    files = folder.files()
    kept = [location for location in files if not location.last.startswith(_LEFT_OUT)]
    if len(kept) < len(files):
        names = ", ".join(location.last for location in files if location not in kept)
        print(f"{folder.name}: skipped, because their names begin with . or _: {names}", file=sys.stderr)
    return kept
