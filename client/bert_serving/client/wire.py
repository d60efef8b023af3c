"""The public wire format, written once and used by both ends: frames to dataclasses and back. No I/O.

A client PUSHes requests to the server's `port`:

    ┌──────────┬──────────────────────────────┬────────────┬───────┬ ─ ─ ─ ─ ─ ─ ─ ─ ─ ─ ┐
    │ identity │ JSON list of texts, or       │ request id │ count │  options, a JSON      │
    │          │ SHOW_CONFIG, SHOW_STATUS,    │ (decimal)  │       │  object; only if some │
    │          │ TERMINATION                  │            │       │  are set              │
    └──────────┴──────────────────────────────┴────────────┴───────┴ ─ ─ ─ ─ ─ ─ ─ ─ ─ ─ ┘

Which options there are says `options.py`.

The server publishes replies on its `port_out`; the topic is the identity and a zero byte:

    ┌─────────────┬──────────────────────────────────────────────┬───────────────────┬────────────┐
    │ identity \0 │ {"dtype", "shape", "tokens", "num_tokens",    │                   │            │
    │             │  "truncated"?, "fingerprint", "model"?,      │ array, C order    │ request id │   rows
    │             │  "views"?, "offsets"?, "chunks"?, "ids"?,    │                   │            │
    │             │  "special"?}                                 │                   │            │
    ├─────────────┼──────────────────────────────────────────────┼───────────────────┼────────────┤
    │ identity \0 │ {"error": {"type", "message", "index"?}}     │ (empty)           │ request id │   error
    ├─────────────┼──────────────────────────────────────────────┼───────────────────┴────────────┘
    │ identity \0 │ JSON object                                  │ request id │                       config, status
    └─────────────┴──────────────────────────────────────────────┴────────────┘

This is the format of bert-as-service 1.10, frame by frame. New in protocol 2: the zero byte, options, errors,
token ids as texts, `num_tokens`, `truncated` (indices of the texts that were cut), and the model's `fingerprint`. A
1.10 client reads none of these and understands the rest. The following is there only if options ask for it:
`views` are the widths of the vectors that lie side by side, `model` is the fingerprint of a server that was started as
this one where `fingerprint` is that of one started with the request's options, and `offsets` and `chunks` are, for each
text, where its tokens and its chunks begin and end. With `offsets` come `ids`, of each token, and `special`, the
places of those that are no part of the text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from functools import lru_cache
from typing import Any, Union

import numpy as np

from bert_serving.client.errors import InvalidInputValue, MalformedMessage, ServerError, quoted
from bert_serving.client.options import NO_OPTIONS, Options

PROTOCOL = 2
"""What `protocol` says in config and status: options, errors and exact topics are understood."""

LEGACY_SERVER_VERSION = "1.10.0"
"""`server_version` in config and status: the release whose protocol is spoken, which its clients insist on."""

MAX_FRAMES = 5
MAX_IDENTITY_BYTES = 4096
MAX_REQUEST_ID_DIGITS = 20
MAX_OPTIONS_BYTES = 1 << 16

Texts = Union[list[str], list[list[str]], list[list[int]]]
Spans = list[list[int]]
"""Pairs of a first character, and the one behind the last."""


class Command(Enum):
    """Requests without texts, as they are in frame 1."""

    SHOW_CONFIG = b"SHOW_CONFIG"
    SHOW_STATUS = b"SHOW_STATUS"
    TERMINATION = b"TERMINATION"


COMMANDS = {command.value: command for command in Command}
LONGEST_COMMAND = max(map(len, COMMANDS))


@dataclass(frozen=True, slots=True)
class EncodeRequest:
    """Texts to encode. `texts` is all str, or all list of str (already tokenized), or all list of int (token ids)."""

    identity: bytes
    request_id: bytes
    texts: Texts
    options: Options = NO_OPTIONS

    @property
    def is_tokenized(self) -> bool:
        return isinstance(self.texts[0], list)


@dataclass(frozen=True, slots=True)
class CommandRequest:
    """A command from a client."""

    identity: bytes
    request_id: bytes
    command: Command


@dataclass(frozen=True, slots=True)
class RowsReply:
    """Encoded rows: `array` is `[B, D]` or `[B, T, D]`; `tokens` is a list a row, or None if not sent.

    `num_tokens` counts those of all rows, special ones included; None from a server of 1.10. `fingerprint` names the
    model and the options that shaped the vectors; empty from a server that sends none. `model` is that of the same
    server without the request's own options. `views` are the widths of vectors that lie side by side; empty for a
    single one that nobody asked for. `offsets` has, for each text, the first character of each token and the one behind
    it; `chunks` those of the parts of a long text. `ids` are the ids of each text's tokens, and `special` the
    places of those that were added.
    """

    identity: bytes
    request_id: int
    array: np.ndarray[Any, np.dtype[Any]]
    tokens: list[list[str]] | None
    truncated: list[int]
    num_tokens: int | None
    fingerprint: str = ""
    model: str = ""
    views: tuple[int, ...] = ()
    offsets: list[Spans] | None = None
    chunks: list[Spans] | None = None
    ids: list[list[int]] | None = None
    special: list[list[int]] | None = None


@dataclass(frozen=True, slots=True)
class JsonReply:
    """A config or a status."""

    identity: bytes
    request_id: int
    content: dict[str, Any]


@dataclass(frozen=True, slots=True)
class ErrorReply:
    """The request failed; `error` is ready to raise."""

    identity: bytes
    request_id: int
    error: ServerError


Reply = Union[RowsReply, JsonReply, ErrorReply]


def dump_json(content: Any) -> bytes:
    """Compact UTF-8 JSON, whatever its texts hold: with halves of surrogate pairs, it is all in ASCII."""
    try:
        return json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode()
    except UnicodeEncodeError:
        return json.dumps(content, separators=(",", ":")).encode()


def topic(identity: bytes) -> bytes:
    """The topic that replies to `identity` are published under; no other identity's topic begins with it."""
    return identity + b"\0"


# -- requests ---------------------------------------------------------------------------------------------------------


def encode_request(identity: bytes, request_id: int, texts: Texts) -> list[bytes]:
    """Frames of a request to encode `texts`, without options."""
    return [identity, dump_json(texts), b"%d" % request_id, b"%d" % len(texts)]


def encode_options(options: Options) -> bytes:
    """The fifth frame of a request; empty if nothing is said, and then to be left out."""
    if options.is_plain:  # of nearly all requests
        return b"" if options.timeout_ms is None else b'{"timeout_ms":%d}' % options.timeout_ms
    return dump_json(options.as_json())


def encode_command(identity: bytes, request_id: int, command: Command) -> list[bytes]:
    """Frames of a command."""
    return [identity, command.value, b"%d" % request_id, b"0"]


def decode_request(frames: Sequence[bytes]) -> EncodeRequest | CommandRequest:
    """Read what a client sent, trusting none of it. Raises MalformedMessage with the sender where it is known.

    For messages that may be read at once; the server reads large ones in slices.
    """
    identity, request_id = sender = decode_sender(frames, len(frames))
    if frames[1] in COMMANDS:
        return CommandRequest(identity, request_id, COMMANDS[frames[1]])
    try:
        texts = decode_texts(frames[1])
        if frames[3] != b"%d" % len(texts):
            raise MalformedMessage(f"frame 3 says {quoted(frames[3])} texts, but frame 1 holds {len(texts)}")
        options = decode_options(frames[4]) if len(frames) == MAX_FRAMES else NO_OPTIONS
    except MalformedMessage as error:
        raise MalformedMessage(str(error), *sender) from None
    return EncodeRequest(identity, request_id, texts, options)


def decode_sender(frames: Sequence[bytes], number: int) -> tuple[bytes, bytes]:
    """Identity and request id of a message of `number` frames, of which `frames` are the first.

    Looks at frames 0 and 2 alone, at no more of them than they may have, and reads no JSON. Raises MalformedMessage.
    """
    identity, request_id = _sender(frames)
    if not 4 <= number <= MAX_FRAMES:
        text = f"a request has 4 frames, or {MAX_FRAMES} with options; this one has {number}"
        raise MalformedMessage(text, identity, request_id)
    if len(frames[0]) > MAX_IDENTITY_BYTES:
        raise MalformedMessage(f"the identity in frame 0 is longer than {MAX_IDENTITY_BYTES} bytes")
    if identity is None:
        raise MalformedMessage("the identity in frame 0 must not be empty or contain a zero byte")
    if request_id is None:
        text = f"frame 2 must be the request id, of at most {MAX_REQUEST_ID_DIGITS} decimal digits, not "
        raise MalformedMessage(text + quoted(frames[2]), identity)
    return identity, request_id


def decode_count(frame: bytes) -> int:
    """How many texts frame 3 says that there are. Raises MalformedMessage without the sender, as what follows."""
    if not _is_request_id(frame) or frame != b"%d" % int(frame):
        raise MalformedMessage(f"frame 3 says {quoted(frame)} texts: it must be their number in decimal digits")
    return int(frame)


def decode_options(frame: bytes) -> Options:
    """What frame 4 says. Raises MalformedMessage without the sender."""
    if len(frame) > MAX_OPTIONS_BYTES:
        raise MalformedMessage(f"frame 4 (options) is longer than {MAX_OPTIONS_BYTES} bytes")
    return _usual_options(frame) if len(frame) <= _USUAL_OPTIONS_BYTES else _options(frame)


def _options(frame: bytes) -> Options:
    try:
        return Options.of(_decode_object(frame, "frame 4 (options)"))
    except InvalidInputValue as error:
        raise MalformedMessage(f"frame 4 (options): {error}") from None


_USUAL_OPTIONS_BYTES = 200
_usual_options = lru_cache(maxsize=256)(_options)
"""Most clients say the same each time."""


def decode_texts(frame: bytes) -> Texts:
    """The texts of a request, from its frame 1; all of them at once."""
    texts = _load_json(frame, "frame 1 (texts)")
    if not isinstance(texts, list) or not texts:
        raise MalformedMessage("frame 1 must be a non-empty JSON list of texts")
    kind = type(texts[0])
    if kind not in (str, list):
        raise MalformedMessage(f"text 0 must be a string or a list of strings, not {kind.__name__}")
    for index, text in enumerate(texts):
        if type(text) is not kind:
            raise MalformedMessage(f"text {index} is {type(text).__name__}, but text 0 is {kind.__name__}")
        if kind is list and not (text and _are_tokens(text, type(texts[0][0]))):
            raise MalformedMessage(f"text {index} must be a non-empty list of strings or ids")
    return texts


def _are_tokens(tokens: Any, kind: type) -> bool:
    return kind in (str, int) and all(type(token) is kind for token in tokens)


def _sender(frames: Sequence[bytes]) -> tuple[bytes | None, bytes | None]:
    identity = frames[0] if frames and 0 < len(frames[0]) <= MAX_IDENTITY_BYTES and b"\0" not in frames[0] else None
    request_id = frames[2] if len(frames) > 2 and _is_request_id(frames[2]) else None
    return identity, request_id


def _is_request_id(frame: bytes) -> bool:
    return len(frame) <= MAX_REQUEST_ID_DIGITS and frame.isdigit()


def _load_json(frame: bytes, what: str) -> Any:
    """JSON in UTF-8: `json.loads` would take bytes in UTF-16 and UTF-32, too."""
    try:
        return _DECODER.decode(str(frame, "utf-8", "surrogatepass"))
    except (ValueError, RecursionError) as error:
        raise MalformedMessage(f"{what} is not JSON: {str(error)[:200]}") from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Of two values under one key a reader could take either, so neither is."""
    content: dict[str, Any] = {}
    for key, value in pairs:
        if key in content:
            raise ValueError(f"the key {quoted(key)} occurs twice")
        content[key] = value
    return content


_DECODER = json.JSONDecoder(object_pairs_hook=_object)


def _decode_object(frame: bytes, what: str) -> dict[str, Any]:
    content = _load_json(frame, what)
    if not isinstance(content, dict):
        raise MalformedMessage(f"{what} must be a JSON object, not {type(content).__name__}")
    return content


# -- replies ----------------------------------------------------------------------------------------------------------


def encode_rows_reply(
    identity: bytes,
    request_id: bytes,
    array: np.ndarray[Any, np.dtype[Any]],
    tokens: list[list[str]] | None = None,
    truncated: Sequence[int] = (),
    num_tokens: int | None = None,
    fingerprint: str = "",
    more: Mapping[str, Any] | None = None,
) -> list[Any]:
    """Frames of a reply with rows; the array is not copied if it is C-contiguous. `more` is the rest of its header."""
    if num_tokens is not None and not tokens and not truncated and not more:
        content = np.ascontiguousarray(array).data.cast("B")
        return encode_vectors_reply(
            identity, request_id, name_of(array.dtype), array.shape, content, num_tokens, fingerprint
        )
    header: dict[str, Any] = {"dtype": name_of(array.dtype), "shape": list(array.shape), "tokens": tokens or ""}
    if num_tokens is not None:
        header["num_tokens"] = num_tokens
    if truncated:
        header["truncated"] = list(truncated)
    if fingerprint:
        header["fingerprint"] = fingerprint
    if more:
        header.update(more)
    return [topic(identity), dump_json(header), np.ascontiguousarray(array).data.cast("B"), request_id]


def encode_vectors_reply(
    identity: bytes,
    request_id: bytes,
    dtype: str,
    shape: Sequence[int],
    content: Any,
    num_tokens: int,
    fingerprint: str = "",
) -> list[Any]:
    """As `encode_rows_reply` for an array that lies packed in `content`, where its header has nothing special."""
    sizes = ",".join(map(str, shape))
    header = f'{{"dtype":"{dtype}","shape":[{sizes}],"tokens":"","num_tokens":{num_tokens}'.encode()
    header += _fingerprint_field(fingerprint) if fingerprint else b"}"
    return [topic(identity), header, content, request_id]


@lru_cache(maxsize=64)
def _fingerprint_field(fingerprint: str) -> bytes:
    """The end of a header."""
    return b"," + dump_json({"fingerprint": fingerprint})[1:]


@lru_cache(maxsize=64)
def name_of(dtype: np.dtype[Any]) -> str:
    """As it is in a header. NumPy makes the name again each time, which takes as long as a message."""
    name: str = dtype.name
    return name


def encode_json_reply(identity: bytes, request_id: bytes, content: Mapping[str, Any]) -> list[bytes]:
    """Frames of a config or status reply."""
    return [topic(identity), dump_json(dict(content)), request_id]


def encode_error_reply(identity: bytes, request_id: bytes, error: ServerError) -> list[bytes]:
    """Frames of an error reply. A 1.10 client finds no "dtype" in it and raises instead of waiting."""
    return [topic(identity), dump_json({"error": error.to_wire()}), b"", request_id]


def decode_reply(frames: Sequence[bytes]) -> Reply:
    """Read what a server published, 1.10 or ours, trusting none of it. Raises MalformedMessage."""
    if len(frames) not in (3, 4) or not _is_request_id(frames[-1]):
        raise MalformedMessage(f"a reply has 3 or 4 frames and ends in a request id; this one has {len(frames)}")
    identity, request_id = frames[0].removesuffix(b"\0"), int(frames[-1])
    header = _decode_object(frames[1], "frame 1 of a reply")
    if isinstance(header.get("error"), dict):
        return ErrorReply(identity, request_id, ServerError.from_wire(header["error"]))
    if len(frames) == 3:
        return JsonReply(identity, request_id, header)
    names = ("tokens", "truncated", "num_tokens", "fingerprint")
    tokens, truncated, num_tokens, fingerprint = (header.get(name) for name in names)
    if tokens and not (isinstance(tokens, list) and all(_are(str, row) for row in tokens)):
        raise MalformedMessage("the tokens in the reply's header are not lists of strings")
    if truncated and not _are(int, truncated):
        raise MalformedMessage("truncated, in the reply's header, is not a list of whole numbers")
    if num_tokens is not None and type(num_tokens) is not int:
        raise MalformedMessage(f"num_tokens in the reply's header must be a whole number, not {quoted(num_tokens)}")
    if fingerprint is not None and not isinstance(fingerprint, str):
        raise MalformedMessage(f"the fingerprint in the reply's header must be a string, not {quoted(fingerprint)}")
    array = _decode_array(header, frames[2])
    reply = RowsReply(identity, request_id, array, tokens or None, truncated or [], num_tokens, fingerprint or "")
    return reply if _FIELDS_ASKED_FOR.isdisjoint(header) else _with_asked_for(reply, header)


_FIELDS_ASKED_FOR = frozenset({"views", "model", "offsets", "chunks", "ids", "special"})


def _with_asked_for(reply: RowsReply, header: Mapping[str, Any]) -> RowsReply:
    """With the fields of the header that only options ask for."""
    views = header.get("views") or ()
    if views and not (_are(int, views) and min(views) >= 0 and sum(views) == reply.array.shape[-1]):
        raise MalformedMessage(f"the views in the reply's header do not fit its shape: {quoted(views)}")
    model = header.get("model")
    return replace(
        reply,
        model=model if isinstance(model, str) else "",
        views=tuple(views),
        offsets=_spans(header, "offsets"),
        chunks=_spans(header, "chunks"),
        ids=_numbers(header, "ids"),
        special=_numbers(header, "special"),
    )


def _spans(header: Mapping[str, Any], name: str) -> list[Spans] | None:
    value = header.get(name)
    if value is None:
        return None
    is_right = isinstance(value, list) and all(
        isinstance(row, list) and all(_are(int, span) and len(span) == 2 for span in row) for row in value
    )
    if not is_right:
        raise MalformedMessage(f"the {name} in the reply's header are not lists of pairs of numbers")
    return list(value)


def _numbers(header: Mapping[str, Any], name: str) -> list[list[int]] | None:
    value = header.get(name)
    if value is None:
        return None
    if not (isinstance(value, list) and all(_are(int, row) for row in value)):
        raise MalformedMessage(f"the {name} in the reply's header are not lists of whole numbers")
    return list(value)


def _are(kind: type, values: Any) -> bool:
    return isinstance(values, list) and all(type(value) is kind for value in values)


_DTYPE = re.compile(r"float(16|32|64)|u?int(8|16|32|64)|bool")
_MOST_DIMENSIONS = 32


def _decode_array(header: Mapping[str, Any], content: bytes) -> np.ndarray[Any, np.dtype[Any]]:
    """Of plain numbers alone: NumPy's names of types reach as far as objects."""
    name, shape = header.get("dtype"), header.get("shape")
    if not isinstance(name, str) or not _DTYPE.fullmatch(name):
        raise MalformedMessage(f"the reply's array has an unknown type: {quoted(name)}")
    if not isinstance(shape, list) or not _are(int, shape) or len(shape) > _MOST_DIMENSIONS or min([0, *shape]) < 0:
        raise MalformedMessage(f"the shape of the reply's array is invalid: {quoted(shape)}")
    try:
        numbers: np.ndarray[Any, np.dtype[Any]] = np.frombuffer(content, dtype=name)
        array: np.ndarray[Any, np.dtype[Any]] = numbers.reshape(tuple(shape))
        return array
    except (ValueError, OverflowError) as error:
        raise MalformedMessage(f"the reply's array does not match its header: {str(error)[:200]}") from None
