"""The files that a gateway is told of by its options: their bytes, and the tables of TOML. Errors say what is wrong."""

from __future__ import annotations

import codecs
import errno
import os
import stat
import sys
from pathlib import Path
from typing import Any


def content_of(path: Path, most_bytes: int) -> bytes:
    """No more than a byte beyond `most_bytes`, which tells that it is too long. Raises OSError."""
    if not stat.S_ISREG(path.stat().st_mode):  # a pipe would keep us waiting, a device would never end
        raise OSError(errno.EINVAL, "it is no file", os.fspath(path))
    with path.open("rb") as file:
        return file.read(most_bytes + 1)


def tables_in(content: bytes) -> dict[str, Any]:
    """What TOML in UTF-8 says, with a byte order mark or without. Raises ValueError with a sentence on the line."""
    if sys.version_info >= (3, 11):  # who gives no such file needs no package for it
        import tomllib
    else:
        import tomli as tomllib
    try:
        tables: dict[str, Any] = tomllib.loads(content.removeprefix(codecs.BOM_UTF8).decode())
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ValueError(f"it is not UTF-8 at line {line}") from None
    except RecursionError:
        raise ValueError("it is no table for each name: lists stand in lists without end") from None
    except ValueError as error:
        raise ValueError(f"it is no TOML: {error}") from None
    return tables
