"""Standard streams of a process, wherever they lead: closed, broken, full, or a terminal that knows only ASCII.

Output that cannot be written is lost, and nothing fails because of it.
"""

from __future__ import annotations

import io
import os
import select
import sys
from typing import Any, TextIO


class _Unfailing(io.FileIO):
    """Bytes that cannot be written count as written."""

    def write(self, content: Any) -> int:
        try:
            while (written := super().write(content)) is None:  # somebody made it non-blocking, and it is full
                select.select([], [self], [])
            return written
        except OSError:  # nobody reads the pipe any more, the terminal is gone, the disk is full
            return len(content)


def settle_streams() -> None:
    """Make standard input, output and error of this process usable; to be called before it opens any file.

    A descriptor that is closed would be given to the next file or socket, and then be printed to. Streams that a
    program has put in the place of Python's own stay as they are.
    """
    for descriptor in range(3):
        _open_if_closed(descriptor)
    if sys.stdout is sys.__stdout__:  # both are None where it was closed
        sys.stdout = _unfailing(1, sys.stdout)
    if sys.stderr is sys.__stderr__:
        sys.stderr = _unfailing(2, sys.stderr)


def _open_if_closed(descriptor: int) -> None:
    try:
        os.fstat(descriptor)
    except OSError:
        os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # it gets the lowest number that is free: this one


def _unfailing(descriptor: int, before: Any) -> TextIO:
    raw = io.BufferedWriter(_Unfailing(descriptor, "wb", closefd=False))
    # a character that the terminal does not know is shown by its number
    if before is None:
        return io.TextIOWrapper(raw, errors="backslashreplace", line_buffering=True)
    before.flush()
    return io.TextIOWrapper(
        raw, before.encoding, "backslashreplace",
        line_buffering=before.line_buffering or descriptor == 2, write_through=before.write_through,
    )  # fmt: skip
