"""Lets the children of a service note what they send, receive, and read or write as JSON: for tests of what it costs.

`counted(monkeypatch, folder)` in the test, before the service starts; `noted(folder, role)` once it has ended. What is
noted are messages of requests alone, by what stands in their first frames, and JSON with `MARK` or a reply's header in
it; heartbeats and the like come by the clock.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pytest

MARK = "counted"
"""Stands in each text, and in the client's identity."""
FOLDER = "COUNTING_FOLDER"
KINDS = (b"Part", b"Rows", b"Done", b"Received", b"Delivered")


def counted(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """Whatever is started from now on notes into files of `folder`."""
    from bert_serving.server.launchers import child, local

    begin = "from bert_serving.server.launchers import child;"
    assert begin in child.BOOTSTRAP
    counting = f"import counting; counting.start(told['orders']['role']); {begin}"
    monkeypatch.setattr(local, "BOOTSTRAP", child.BOOTSTRAP.replace(begin, counting))
    monkeypatch.setenv(FOLDER, str(folder))


def noted(folder: Path, role: str) -> Counter[str]:
    """How often a child of that role did what: `send Rows`, `send Rows frames`, `read JSON`, and so on."""
    found: Counter[str] = Counter()
    for file in folder.glob(f"{role}-*"):
        for line in file.read_text().splitlines():
            what, number = line.rsplit(" ", 1)
            found[what] += int(number)
    return found


def start(role: str) -> None:
    """In a child, before anything else of the service is there."""
    import orjson
    import zmq

    file = os.open(Path(os.environ[FOLDER]) / f"{role}-{os.getpid()}", os.O_CREAT | os.O_WRONLY | os.O_APPEND)

    def note(what: str, number: int = 1) -> None:
        os.write(file, f"{what} {number}\n".encode())

    owner: Any
    for name, what, frame_of in (
        ("send", "send", lambda args, made: (args[0], bool(int(args[1]) & zmq.SNDMORE))),
        ("recv", "receive", lambda args, made: (made, made.more)),
    ):
        setattr(zmq.Socket, name, _noting(getattr(zmq.Socket, name), what, note, frame_of))
    for owner, name, what, content in (
        (orjson, "loads", "read JSON", lambda args: args[0]),
        (orjson, "dumps", "write JSON", lambda args: repr(args[0])),
        (json.JSONDecoder, "raw_decode", "read JSON", lambda args: args[1]),
        (json.JSONEncoder, "encode", "write JSON", lambda args: repr(args[1])),
    ):
        setattr(owner, name, _noting_json(getattr(owner, name), what, content, note))


def _noting(
    call: Callable[..., Any],
    what: str,
    note: Callable[[str, int], None],
    frame_of: Callable[[tuple[Any, ...], Any], tuple[Any, bool]],
) -> Callable[..., Any]:
    """A socket's method that notes each message with its last frame."""
    begun: dict[int, list[bytes]] = {}

    def noting(sock: Any, *args: Any, **kwargs: Any) -> Any:
        made = call(sock, *args, **kwargs)
        frame, has_more = frame_of((*args, 0), made)
        frames = begun.setdefault(id(sock), [])
        frames.append(bytes(frame))
        if not has_more:
            kind = next(filter(None, map(_kind, begun.pop(id(sock))[:2])), None)
            if kind is not None:
                note(f"{what} {kind}", 1)
                note(f"{what} {kind} frames", len(frames))
        return made

    return noting


def _kind(frame: bytes) -> str | None:
    name = frame.partition(b"\0")[0]
    if name in KINDS:
        return name.decode()
    return "client" if name == MARK.encode() else None


def _noting_json(
    call: Callable[..., Any], what: str, content: Callable[[tuple[Any, ...]], Any], note: Callable[[str], None]
) -> Callable[..., Any]:
    def noting(*args: Any, **kwargs: Any) -> Any:
        found = content(args)
        text = found if isinstance(found, str) else str(bytes(found), "utf-8", "replace")
        if MARK in text or text[2:].startswith("dtype"):
            note(what)
        return call(*args, **kwargs)

    return noting
