"""The public wire format, written once and used by both ends: frames to dataclasses and back. No I/O.

A client PUSHes requests to the server's `port`:

    ┌──────────┬──────────────────────────────┬────────────┬───────┬ ─ ─ ─ ─ ─ ─ ─ ─ ─ ─ ┐
    │ identity │ JSON list of texts, or       │ request id │ count │  options, a JSON      │
    │          │ SHOW_CONFIG, SHOW_STATUS,    │ (decimal)  │       │  object; only if some │
    │          │ TERMINATION                  │            │       │  are set              │
    └──────────┴──────────────────────────────┴────────────┴───────┴ ─ ─ ─ ─ ─ ─ ─ ─ ─ ─ ┘

The one option is `timeout_ms`: after so long the server need not compute what is left, for nobody waits for it.

The server publishes replies on its `port_out`; the topic is the identity and a zero byte:

    ┌─────────────┬──────────────────────────────────────────────┬───────────────────┬────────────┐
    │ identity \0 │ {"dtype", "shape", "tokens", "num_tokens",    │                   │            │
    │             │  "truncated"?}                               │ array, C order    │ request id │   rows
    ├─────────────┼──────────────────────────────────────────────┼───────────────────┼────────────┤
    │ identity \0 │ {"error": {"type", "message", "index"?}}     │ (empty)           │ request id │   error
    ├─────────────┼──────────────────────────────────────────────┼───────────────────┴────────────┘
    │ identity \0 │ JSON object                                  │ request id │                       config, status
    └─────────────┴──────────────────────────────────────────────┴────────────┘

This is the format of bert-as-service 1.10, frame by frame. New in protocol 2: the zero byte, options, errors,
token ids as texts, `num_tokens`, and `truncated` (indices of the texts that were cut). A 1.10 client reads none of
these and understands the rest.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, Union

import numpy as np

from bert_serving.client.errors import MalformedMessage, ServerError

PROTOCOL = 2
"""What `protocol` says in config and status: options, errors and exact topics are understood."""

LEGACY_SERVER_VERSION = "1.10.0"
"""`server_version` in config and status: the release whose protocol is spoken, which its clients insist on."""

MAX_REQUEST_ID_DIGITS = 20
MAX_TIMEOUT_MS = 1 << 53

Texts = Union[list[str], list[list[str]], list[list[int]]]


class Command(Enum):
    """Requests that carry no texts, as they stand in frame 1."""

    SHOW_CONFIG = b"SHOW_CONFIG"
    SHOW_STATUS = b"SHOW_STATUS"
    TERMINATION = b"TERMINATION"


_COMMANDS = {command.value: command for command in Command}


@dataclass(frozen=True, slots=True)
class EncodeRequest:
    """Texts to encode. `texts` is all str, or all list of str (already tokenized), or all list of int (token ids).

    Nobody waits for the answer longer than `timeout_ms`, if that is not None.
    """

    identity: bytes
    request_id: bytes
    texts: Texts
    timeout_ms: int | None = None

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

    `num_tokens` counts those of all rows, special ones included; None from a server of 1.10.
    """

    identity: bytes
    request_id: int
    array: np.ndarray[Any, np.dtype[Any]]
    tokens: list[list[str]] | None
    truncated: list[int]
    num_tokens: int | None


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
    """Compact UTF-8 JSON. Raises UnicodeEncodeError for text that is not valid Unicode."""
    return json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode()


def topic(identity: bytes) -> bytes:
    """The topic that replies to `identity` are published under; no other identity's topic begins with it."""
    return identity + b"\0"


# -- requests ---------------------------------------------------------------------------------------------------------


def encode_request(identity: bytes, request_id: int, texts: Texts) -> list[bytes]:
    """Frames of a request to encode `texts`, without options."""
    return [identity, dump_json(texts), b"%d" % request_id, b"%d" % len(texts)]


def encode_options(timeout_ms: int) -> bytes:
    """The fifth frame of a request."""
    return dump_json({"timeout_ms": timeout_ms})


def encode_command(identity: bytes, request_id: int, command: Command) -> list[bytes]:
    """Frames of a command."""
    return [identity, command.value, b"%d" % request_id, b"0"]


def decode_request(frames: Sequence[bytes]) -> EncodeRequest | CommandRequest:
    """Read what a client sent, trusting none of it. Raises MalformedMessage with the sender where it is known."""
    if not 4 <= len(frames) <= 5:
        raise MalformedMessage(
            f"a request has 4 frames, or 5 with options; this one has {len(frames)}", *_sender(frames)
        )
    identity, content, request_id, count = frames[:4]
    sender = _sender(frames)
    if sender[0] is None:
        raise MalformedMessage("the identity in frame 0 must not be empty and must not hold a zero byte")
    if sender[1] is None:
        raise MalformedMessage(f"frame 2 must be the request id in decimal digits, not {request_id[:40]!r}", identity)
    if content in _COMMANDS:
        return CommandRequest(identity, request_id, _COMMANDS[content])
    texts = _decode_texts(content, sender)
    if count != b"%d" % len(texts):
        raise MalformedMessage(f"frame 3 says {count[:40]!r} texts, but frame 1 holds {len(texts)}", *sender)
    timeout_ms = _decode_options(frames[4], sender) if len(frames) == 5 else None
    return EncodeRequest(identity, request_id, texts, timeout_ms)


def _decode_options(frame: bytes, sender: tuple[bytes | None, bytes | None]) -> int | None:
    options = _decode_object(frame, "frame 4 (options)", sender)
    if unknown := options.keys() - {"timeout_ms"}:
        raise MalformedMessage(
            f"frame 4 has options that this server does not know: {', '.join(sorted(unknown))}", *sender
        )
    timeout_ms = options.get("timeout_ms")
    if timeout_ms is not None and (type(timeout_ms) is not int or not 0 < timeout_ms < MAX_TIMEOUT_MS):
        raise MalformedMessage("timeout_ms in frame 4 must be a whole number above 0", *sender)
    return timeout_ms


def _sender(frames: Sequence[bytes]) -> tuple[bytes | None, bytes | None]:
    identity = frames[0] if frames and frames[0] and b"\0" not in frames[0] else None
    request_id = frames[2] if len(frames) > 2 and _is_request_id(frames[2]) else None
    return identity, request_id


def _is_request_id(frame: bytes) -> bool:
    return len(frame) <= MAX_REQUEST_ID_DIGITS and frame.isdigit()


def _load_json(frame: bytes, what: str, sender: tuple[bytes | None, bytes | None]) -> Any:
    try:
        return json.loads(frame)
    except (ValueError, RecursionError) as error:
        raise MalformedMessage(f"{what} is not JSON: {error}", *sender) from None


def _decode_object(frame: bytes, what: str, sender: tuple[bytes | None, bytes | None]) -> dict[str, Any]:
    content = _load_json(frame, what, sender)
    if not isinstance(content, dict):
        raise MalformedMessage(f"{what} must be a JSON object, not {type(content).__name__}", *sender)
    return content


def _decode_texts(frame: bytes, sender: tuple[bytes | None, bytes | None]) -> Texts:
    texts = _load_json(frame, "frame 1 (texts)", sender)
    if not isinstance(texts, list) or not texts:
        raise MalformedMessage("frame 1 must be a JSON list of texts that is not empty", *sender)
    kind = type(texts[0])
    if kind not in (str, list):
        raise MalformedMessage(f"text 0 must be a string or a list of strings, not {kind.__name__}", *sender)
    for index, text in enumerate(texts):
        if type(text) is not kind:
            raise MalformedMessage(f"text {index} is {type(text).__name__}, but text 0 is {kind.__name__}", *sender)
        if kind is list and not (text and _are_tokens(text, type(texts[0][0]))):
            raise MalformedMessage(f"text {index} must be a list of strings, or of ids, that is not empty", *sender)
    return texts


def _are_tokens(tokens: Any, kind: type) -> bool:
    return kind in (str, int) and all(type(token) is kind for token in tokens)


# -- replies ----------------------------------------------------------------------------------------------------------


def encode_rows_reply(
    identity: bytes,
    request_id: bytes,
    array: np.ndarray[Any, np.dtype[Any]],
    tokens: list[list[str]] | None = None,
    truncated: Sequence[int] = (),
    num_tokens: int | None = None,
) -> list[Any]:
    """Frames of a reply with rows; the array is not copied if it is C-contiguous."""
    header: dict[str, Any] = {"dtype": array.dtype.name, "shape": list(array.shape), "tokens": tokens or ""}
    if num_tokens is not None:
        header["num_tokens"] = num_tokens
    if truncated:
        header["truncated"] = list(truncated)
    return [topic(identity), dump_json(header), np.ascontiguousarray(array).data.cast("B"), request_id]


def encode_json_reply(identity: bytes, request_id: bytes, content: Mapping[str, Any]) -> list[bytes]:
    """Frames of a config or status reply."""
    return [topic(identity), dump_json(dict(content)), request_id]


def encode_error_reply(identity: bytes, request_id: bytes, error: ServerError) -> list[bytes]:
    """Frames of an error reply. A 1.10 client finds no "dtype" in it and raises instead of waiting."""
    return [topic(identity), dump_json({"error": error.to_wire()}), b"", request_id]


def decode_reply(frames: Sequence[bytes]) -> Reply:
    """Read what a server published, 1.10 or ours. Raises MalformedMessage."""
    if len(frames) not in (3, 4) or not _is_request_id(frames[-1]):
        raise MalformedMessage(f"a reply has 3 or 4 frames and ends in a request id; this one has {len(frames)}")
    identity, request_id = frames[0].removesuffix(b"\0"), int(frames[-1])
    header = _decode_object(frames[1], "frame 1 of a reply", (None, None))
    if isinstance(header.get("error"), dict):
        return ErrorReply(identity, request_id, ServerError.from_wire(header["error"]))
    if len(frames) == 3:
        return JsonReply(identity, request_id, header)
    return RowsReply(
        identity,
        request_id,
        _decode_array(header, frames[2]),
        header.get("tokens") or None,
        header.get("truncated") or [],
        header.get("num_tokens"),
    )


def _decode_array(header: Mapping[str, Any], content: bytes) -> np.ndarray[Any, np.dtype[Any]]:
    try:
        shape: list[int] = header["shape"]
        return np.frombuffer(content, dtype=header["dtype"]).reshape(shape)
    except (KeyError, TypeError, ValueError) as error:
        raise MalformedMessage(f"the reply's array does not match its header: {error}") from None
