r"""Messages between the processes of the service, as dataclasses; `codec.py` makes frames of them. No socket.

On the wire a message is its name, a zero byte and its fields: as packed numbers if it has no others, else as a JSON
list. Messages that are frequent, or carry bytes, have a codec of their own next to them.

    ┌────────────────────────────────────┐
    │ name \0 numbers, or [field, ..]    │
    ├────────────────────────────────────┼──────────────────┐
    │ Part \0 numbers, envelope          │ texts            │
    ├────────────────────────────────────┼──────────────────┤
    │ Rows \0 numbers, envelope, ..      │ vectors          │
    ├────────────────────────────────────┼──────────────────┴─ ─
    │ Answer \0 job                      │ the reply's frames
    └────────────────────────────────────┴─────────────────── ─
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from operator import attrgetter
from struct import Struct
from typing import Any, Union

from bert_serving.client.wire import dump_json
from bert_serving.server.message.assembly import Spans
from bert_serving.server.message.envelope import Envelope
from bert_serving.server.message.tickets import PartKey

Frames = Sequence[Union[bytes, memoryview]]

IN_ONE_FRAME_BYTES = 1 << 13
"""What is no longer than this follows in the same frame: a copy costs less than another frame."""


def _in_frames(head: bytes, content: Any) -> list[Any]:
    """One or two frames. `content` that has one of its own is not copied."""
    return [b"".join((head, content))] if len(content) <= IN_ONE_FRAME_BYTES else [head, content]


def _rest_in(head: bytes, end: int, more: Frames) -> bytes | memoryview:
    """The content that `_in_frames` put behind the first `end` bytes. Raises ValueError."""
    if end > len(head) or len(more) > 1 or (more and end < len(head)):
        raise ValueError("its frames are not those of its kind")
    return more[0] if more else head[end:]


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


@dataclass(slots=True)  # not frozen, which would take four times as long
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
    part_tokenize_s: float = 0.0
    """Of this part: from when it came until its rows were made."""
    part_compute_s: float = 0.0
    """Of this part: from then until its vectors were there."""


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


_JOB = Struct("<q")
_PART = Struct("<qq?qI")  # offset, count, urgent, timeout_ms or 0, bytes of the envelope, which follows


@dataclass(slots=True)  # not frozen, which would take four times as long
class Part:
    """Rows to encode: `count` texts of a request, from position `offset`; `texts` is a JSON list.

    From when this is sent nobody waits for them longer than `timeout_ms`, if it is not None.
    """

    envelope: Envelope
    offset: int
    count: int
    urgent: bool
    timeout_ms: int | None
    texts: bytes

    @property
    def key(self) -> PartKey:
        return PartKey(self.envelope.job, self.offset)

    def to_frames(self) -> list[Any]:
        envelope = self.envelope.encode()
        fixed = _PART.pack(self.offset, self.count, self.urgent, self.timeout_ms or 0, len(envelope))
        return _in_frames(b"Part\0" + fixed + envelope, self.texts)

    @staticmethod
    def of_frames(head: bytes, more: Frames) -> Part:
        offset, count, urgent, timeout_ms, size = _PART.unpack_from(head)
        end = _PART.size + size
        envelope = Envelope.decode(head[_PART.size : end])
        return Part(envelope, offset, count, urgent, timeout_ms or None, bytes(_rest_in(head, end, more)))


@dataclass(frozen=True, slots=True)
class Answer:
    """The public reply that ends a job, to publish as it is: config, status or an error.

    A job that is answered already stays as it is.
    """

    job: int
    reply: list[bytes]

    def to_frames(self) -> list[Any]:
        return [b"Answer\0" + _JOB.pack(self.job), *self.reply]

    @staticmethod
    def of_frames(head: bytes, more: Frames) -> Answer:
        if len(more) < 3:
            raise ValueError("a reply has more frames")
        return Answer(_JOB.unpack(head)[0], list(map(bytes, more)))


@dataclass(frozen=True, slots=True)
class Void:
    """Nothing will come of this job, for another one answers the same request."""

    job: int


# -- worker to sink ---------------------------------------------------------------------------------------------------


# offset, count, dim, pad_to or 0, dtype, fingerprint, bytes of the envelope and of the rest; then it, num_tokens, rest
_ROWS = Struct("<qqqq8s32sII")


@dataclass(slots=True)  # not frozen, which would take four times as long
class Rows:
    """The encoded rows of a part. It says all about its request, so that the sink need not be told beforehand.

    `data` holds `[count, dim]`, or with `lengths` `[sum(lengths), dim]` of number type `dtype`. The answer is then
    `[total, T, dim]`, where T is `pad_to`, or as long as the longest row if that is None. `num_tokens` is an int32 for
    each row, 0 where there is none. `tokens`, `truncated` and `failures` count positions from the part's first row.
    `fingerprint` names the model, in 32 characters at most. What follows `failures` is there only where the request's
    options ask for it, see `wire.RowsReply`.
    """

    envelope: Envelope
    offset: int
    count: int
    num_tokens: bytes
    dtype: str = "float32"
    dim: int = 0
    pad_to: int | None = None
    fingerprint: str = ""
    lengths: Sequence[int] | None = None
    tokens: Sequence[list[str]] | None = None
    truncated: Sequence[int] = ()
    failures: Sequence[tuple[int, str]] = ()
    views: Sequence[int] = ()
    model: str = ""
    offsets: Sequence[Spans] | None = None
    chunks: Sequence[Spans] | None = None
    ids: Sequence[Sequence[int]] | None = None
    special: Sequence[Sequence[int]] | None = None
    data: Any = b""

    @property
    def key(self) -> PartKey:
        return PartKey(self.envelope.job, self.offset)

    def to_frames(self) -> list[Any]:
        envelope = self.envelope.encode()
        sizes = self.offset, self.count, self.dim, self.pad_to or 0
        values = _rest_of(self)
        rest = dump_json(values) if any(values) else b""
        fixed = _ROWS.pack(*sizes, self.dtype.encode(), self.fingerprint.encode(), len(envelope), len(rest))
        return _in_frames(b"".join((b"Rows\0", fixed, envelope, self.num_tokens, rest)), self.data)

    @staticmethod
    def of_frames(head: bytes, more: Frames) -> Rows:
        offset, count, dim, pad_to, dtype, fingerprint, size, rest_size = _ROWS.unpack_from(head)
        numbers = _ROWS.size + size
        end = numbers + 4 * count
        if not numbers <= end <= len(head):
            raise ValueError("it has no number for each row")
        data = _rest_in(head, end + rest_size, more)
        values = zip(_REST, json.loads(head[end : end + rest_size]), strict=True) if rest_size else ()
        rest = {name: value for name, value in values if value}
        return Rows(
            Envelope.decode(head[_ROWS.size : numbers]), offset, count, head[numbers:end],
            dtype.rstrip(b"\0").decode(), dim, pad_to or None, fingerprint.rstrip(b"\0").decode(), data=data, **rest,
        )  # fmt: skip


_REST = ("lengths", "tokens", "truncated", "failures", "views", "model", "offsets", "chunks", "ids", "special")
"""What is as JSON, if any of it is there."""
_rest_of = attrgetter(*_REST)


Message = Union[
    Hello, Stage, Ready, Alive, StopAsked, Drained, Resize, Load, NewVentilator, Census, Lost, Draining, Stop,
    Done, Received, Delivered, Left, NewSink, Part, Answer, Void, Rows,
]  # fmt: skip
