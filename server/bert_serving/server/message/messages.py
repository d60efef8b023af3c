"""Messages between the processes of the service: dataclasses and their codec. No socket.

On the wire a message is its name, a JSON list of its plain fields, and one frame for each of its bytes fields:

    ┌──────┬─────────────────────┬─────────┬ ─ ─
    │ name │ [field, field, ...] │ bytes   │ ...
    └──────┴─────────────────────┴─────────┴ ─ ─
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, Union, get_args

from bert_serving.client.wire import dump_json

# -- every child to the supervisor ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Hello:
    """A child has connected, to the supervisor or to the ventilator.

    `address` is where it takes messages from its like: rows (sink), or what workers and sink say (ventilator);
    `remote_address` is the latter for workers on other machines.
    """

    pid: int
    address: str = ""
    remote_address: str = ""


@dataclass(frozen=True, slots=True)
class Stage:
    """What a loading worker is doing, for the progress line."""

    text: str


@dataclass(frozen=True, slots=True)
class Ready:
    """A worker has encoded a known sentence, by the model with that fingerprint."""

    device: str
    fingerprint: str


@dataclass(frozen=True, slots=True)
class Alive:
    """A child is neither dead nor stuck."""


# -- ventilator to supervisor -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class StopAsked:
    """Somebody who may has asked for the end of the service."""

    reason: str


@dataclass(frozen=True, slots=True)
class Drained:
    """All that was accepted is answered, and nothing more is taken in."""


@dataclass(frozen=True, slots=True)
class Resize:
    """So many workers more; or one less, the one with this line, which has nothing to do any more."""

    add: int = 0
    release: str = ""


# -- supervisor to children -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Load:
    """What a worker needs to load the model, and where the ventilator is."""

    prepared: str
    ventilator: str


@dataclass(frozen=True, slots=True)
class NewVentilator:
    """There is another ventilator: whoever spoke to the last one drops what it had of it, and speaks to this one."""

    address: str


@dataclass(frozen=True, slots=True)
class Census:
    """For the ventilator: all children as the status shows them, and the lines of workers that are there or coming.

    `fingerprint` is that of the model; empty until a worker has loaded it.
    """

    state: str
    processes: list[dict[str, Any]]
    workers: list[str]
    fingerprint: str


@dataclass(frozen=True, slots=True)
class Lost:
    """For the ventilator: the child with this line has ended."""

    line: str


@dataclass(frozen=True, slots=True)
class Draining:
    """The service is about to end: ventilator and gateway take nothing more in."""


@dataclass(frozen=True, slots=True)
class Stop:
    """End in order."""


# -- worker or sink to ventilator -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Done:
    """A worker has sent all rows of a part to the sink. The rest counts all its micro-batches so far."""

    job: int
    offset: int
    batches: int
    batch_rows: int
    tokens: int
    padded_tokens: int
    tokenize_s: float
    compute_s: float


@dataclass(frozen=True, slots=True)
class Received:
    """The sink has all rows of a part, and waits for others of its job."""

    job: int
    offset: int


@dataclass(frozen=True, slots=True)
class Delivered:
    """A job is over: the sink has sent its answer, or keeps it for a client that does not listen."""

    job: int
    is_kept: bool


@dataclass(frozen=True, slots=True)
class Left:
    """An answer that the sink kept was sent, or given up."""

    job: int


# -- ventilator to worker or sink -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class NewSink:
    """There is another sink: a worker drops what it has, all of which will come again, and sends its rows there."""

    rows_address: str


@dataclass(frozen=True, slots=True)
class Part:
    """Rows to encode: `count` texts of a request of `total`, from position `offset`; `texts` is a JSON list.

    After `left_ms`, if it is not None, nobody needs them any more.
    """

    job: int
    total: int
    offset: int
    count: int
    urgent: bool
    left_ms: int | None
    identity: bytes
    request_id: bytes
    texts: bytes


@dataclass(frozen=True, slots=True)
class Answer:
    """Public reply frames that end a job, to publish as they are: config, status or an error.

    A job that is answered already stays as it is.
    """

    job: int
    identity: bytes
    header: bytes
    request_id: bytes
    is_error: bool


@dataclass(frozen=True, slots=True)
class Void:
    """Nothing will come of this job, for another one answers the same request."""

    job: int


# -- worker to sink ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Rows:
    """The encoded rows of a part. It says all about its request, so that the sink need not be told beforehand.

    `data` holds `[count, dim]`, or with `lengths` `[sum(lengths), dim]`. `tokens`, `truncated` and `failures` count
    positions from the part's first row; `num_tokens` is that of each row, 0 where there is none. `fingerprint` names
    the model; it is empty where no row was encoded.
    """

    job: int
    total: int
    offset: int
    count: int
    dtype: str
    dim: int
    lengths: list[int] | None
    tokens: list[list[str]] | None
    truncated: list[int]
    num_tokens: list[int]
    failures: list[tuple[int, str]]
    fingerprint: str
    identity: bytes
    request_id: bytes
    data: Any = b""


Message = Union[
    Hello, Stage, Ready, Alive, StopAsked, Drained, Resize, Load, NewVentilator, Census, Lost, Draining, Stop,
    Done, Received, Delivered, Left, NewSink, Part, Answer, Void, Rows,
]  # fmt: skip

_KINDS: dict[bytes, type[Message]] = {kind.__name__.encode(): kind for kind in get_args(Message)}
_BINARY = {"identity", "request_id", "texts", "header", "data"}
_PLAIN_FIELDS = {kind: [f.name for f in fields(kind) if f.name not in _BINARY] for kind in _KINDS.values()}
_BINARY_FIELDS = {kind: [f.name for f in fields(kind) if f.name in _BINARY] for kind in _KINDS.values()}


class UnknownMessage(ValueError):
    """Frames that are no message between our own processes."""


def encode(message: Message) -> list[Any]:
    """Frames of a message; bytes fields are passed on without a copy."""
    kind = type(message)
    plain = [getattr(message, name) for name in _PLAIN_FIELDS[kind]]
    header = dump_json(plain)
    return [kind.__name__.encode(), header, *(getattr(message, name) for name in _BINARY_FIELDS[kind])]


def decode(frames: Sequence[bytes | memoryview]) -> Message:
    """The message in `frames`. Raises UnknownMessage."""
    try:
        kind = _KINDS[bytes(frames[0])]
        plain = json.loads(bytes(frames[1]))
        if type(plain) is not list:
            raise ValueError("its plain fields are no list")
        values: dict[str, Any] = dict(zip(_PLAIN_FIELDS[kind], plain, strict=True))
        values.update(zip(_BINARY_FIELDS[kind], frames[2:], strict=True))
        return kind(**values)
    except (KeyError, IndexError, ValueError, TypeError, RecursionError) as error:
        begin = bytes(frames[0][:20]) if frames else b""
        raise UnknownMessage(f"no message of this service: {begin!r} ({str(error)[:100]})") from None
