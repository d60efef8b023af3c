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

# -- worker or sink to ventilator -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Hello:
    """A child has connected. `rows_address` is where the sink takes rows, empty from a worker."""

    pid: int
    rows_address: str


@dataclass(frozen=True, slots=True)
class Stage:
    """What a loading worker is doing, for the progress line."""

    text: str


@dataclass(frozen=True, slots=True)
class Ready:
    """A worker has encoded a known sentence."""

    device: str


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
class Alive:
    """A worker or the sink is neither dead nor stuck."""


@dataclass(frozen=True, slots=True)
class Received:
    """The sink with this process id has all rows of a part, and waits for others of its job."""

    job: int
    offset: int
    pid: int


@dataclass(frozen=True, slots=True)
class Delivered:
    """The sink has sent the answer of a job, or keeps it for a client that does not listen."""

    job: int
    is_kept: bool


@dataclass(frozen=True, slots=True)
class Left:
    """An answer that the sink kept was sent, or given up."""

    job: int


# -- ventilator to worker or sink -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Load:
    """What a worker needs to load the model and to send rows."""

    prepared: str
    rows_address: str


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
    """Public reply frames to publish as they are: config, status or an error. It ends `job`, if that is not 0."""

    identity: bytes
    header: bytes
    request_id: bytes
    is_error: bool
    job: int = 0


@dataclass(frozen=True, slots=True)
class Draining:
    """The service is about to end: the gateway takes nothing more in."""


@dataclass(frozen=True, slots=True)
class Stop:
    """End in order."""


# -- worker to sink ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Rows:
    """The encoded rows of a part. It says all about its request, so that the sink need not be told beforehand.

    `data` holds `[count, dim]`, or with `lengths` `[sum(lengths), dim]`. `tokens`, `truncated` and `failures` count
    positions from the part's first row; `num_tokens` is that of each row, 0 where there is none.
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
    identity: bytes
    request_id: bytes
    data: Any = b""


Message = Union[
    Hello, Stage, Ready, Alive, Done, Received, Delivered, Left, Load, NewSink, Part, Answer, Draining, Stop, Rows
]

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
        values: dict[str, Any] = dict(zip(_PLAIN_FIELDS[kind], json.loads(bytes(frames[1])), strict=True))
        values.update(zip(_BINARY_FIELDS[kind], frames[2:], strict=True))
        return kind(**values)
    except (KeyError, IndexError, ValueError, TypeError) as error:
        raise UnknownMessage(f"no message of this service: {frames[:1]!r} ({error})") from None
