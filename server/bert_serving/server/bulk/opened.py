"""From the bytes of a file to its characters: decompresses it, and detects its encoding.

A file says by its first bytes how it is compressed and, by a byte order mark, in which encoding it is; its name says
neither for sure. Memory stays flat.
"""

from __future__ import annotations

import bz2
import codecs
import gzip
import lzma
import re
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BufferedReader, TextIOWrapper
from pathlib import PurePath
from typing import IO, cast

from bert_serving.server.bulk.errors import BulkError, require
from bert_serving.server.bulk.locations import Location

HEAD_BYTES = 1 << 16
"""So much of the beginning is looked at to find out what a file is."""

_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before that of UTF-16, which is its beginning
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_OFFICE = re.compile(r"^(xl|word|ppt)/|^content\.xml$")
_OLD_OFFICE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_BROKEN = (EOFError, zlib.error, lzma.LZMAError, zipfile.BadZipFile, gzip.BadGzipFile)


def _zstd(file: IO[bytes]) -> IO[bytes]:
    require("pyarrow", "a file compressed by Zstandard")
    import pyarrow

    return cast(IO[bytes], pyarrow.CompressedInputStream(pyarrow.PythonFile(file), "zstd"))


_UNPACKERS: dict[bytes, Callable[[IO[bytes]], IO[bytes]]] = {
    b"\x1f\x8b": lambda file: cast(IO[bytes], gzip.GzipFile(fileobj=file)),
    b"BZh": lambda file: cast(IO[bytes], bz2.BZ2File(file)),
    b"\xfd7zXZ\x00": lambda file: cast(IO[bytes], lzma.LZMAFile(file)),  # noqa: SIM115 - whoever unpacks closes it
    b"\x28\xb5\x2f\xfd": _zstd,
}
"""By the first bytes of a file."""
COMPRESSED_SUFFIXES = (".gz", ".bz2", ".xz", ".zst", ".zip")


def plain_name(name: str) -> PurePath:
    """The name without what says how the file is compressed."""
    path = PurePath(name)
    return path.with_suffix("") if path.suffix.lower() in COMPRESSED_SUFFIXES else path


@contextmanager
def opened_bytes(location: Location) -> Iterator[IO[bytes]]:
    """The content, unpacked if it is compressed. Raises BulkError for what cannot be read or is broken."""
    with location.open() as file:
        head = file.read(8)
        file.seek(0)
        try:
            if head.startswith(_OLD_OFFICE):
                raise _spreadsheet(location)
            if head.startswith(b"PK\3\4"):
                with zipfile.ZipFile(file) as archive, archive.open(_only_file(location, archive)) as member:
                    yield member
                return
            unpack = next((one for magic, one in _UNPACKERS.items() if head.startswith(magic)), None)
            if unpack is None:
                yield file
                return
            with unpack(file) as content:
                yield content
        except _BROKEN as error:
            raise BulkError(f"{location.name} is truncated or damaged ({error}): copy it again") from None
        except OSError as error:
            if error.errno is not None or not head.startswith(tuple(_UNPACKERS)):
                raise
            raise BulkError(f"{location.name} is truncated or damaged ({error}): copy it again") from None


def _only_file(location: Location, archive: zipfile.ZipFile) -> str:
    names = [name for name in archive.namelist() if not name.endswith("/") and not name.startswith("__MACOSX/")]
    if any(_OFFICE.search(name) for name in names):
        raise _spreadsheet(location)
    if len(names) != 1:
        shown = ", ".join(names[:3]) or "none"
        raise BulkError(
            f"{location.name} has {len(names)} files in it ({shown}): unpack it and give the folder, or "
            "compress a single file"
        )
    if archive.getinfo(names[0]).flag_bits & 1:
        raise BulkError(f"{location.name} is encrypted: unpack it first")
    return names[0]


def _spreadsheet(location: Location) -> BulkError:
    return BulkError(f"{location.name} is a spreadsheet or another office document: first save it as CSV in UTF-8")


def head_of(location: Location) -> bytes:
    """The beginning of the content."""
    with opened_bytes(location) as file:
        return file.read(HEAD_BYTES)


def encoding_of(location: Location, head: bytes, asked: str | None) -> str:
    """The encoding of the content: as its byte order mark says, or as was asked for, or UTF-8. Raises BulkError."""
    marked = next((name for mark, name in _MARKS if head.startswith(mark)), None)
    if marked is not None:
        return marked
    if asked is not None:
        return asked
    if b"\0" in head:
        even, odd = head[::2].count(0), head[1::2].count(0)
        guess = "utf-16-le" if odd > even else "utf-16-be"
        raise BulkError(
            f"{location.name} contains zero bytes: it is not text, or its encoding is not UTF-8; name it, such "
            f"as -encoding {guess}"
        )
    return "utf-8"


@contextmanager
def opened_text(location: Location, encoding: str, newline: str | None) -> Iterator[TextIOWrapper]:
    """The characters; bytes that are none in this encoding become halves of surrogates. `newline` as for `open`."""
    with opened_bytes(location) as file:
        # a stream of another library, such as pyarrow's, may lack what TextIOWrapper asks for
        buffered = cast(IO[bytes], BufferedReader(file))
        with TextIOWrapper(buffered, encoding=encoding, errors="surrogateescape", newline=newline) as text:
            try:
                yield text
            except UnicodeError as error:  # UTF-16 and UTF-32 have no replacement for broken characters
                raise BulkError(f"{location.name} is broken {encoding}: {error}; copy it again") from None
