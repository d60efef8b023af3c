"""Messages to frames and back: by the fields of each kind, unless it has a codec of its own. Pure.

`messages.py` shows what is on the wire. `decode` refuses frames that are not a message, whatever is in them.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Sequence
from dataclasses import fields
from operator import attrgetter
from struct import Struct
from typing import Any, get_args

from bert_serving.client.wire import dump_json
from bert_serving.server.message.messages import Answer, Frames, Message, Part, Rows


class UnknownMessage(ValueError):
    """Frames that are no message between our own processes."""


def encode(message: Message) -> list[Any]:
    """Frames of a message; large ones are passed on without a copy."""
    return _CODECS[type(message)][0](message)


def encode_all(messages: Sequence[Message]) -> list[Any]:
    """One or more messages of a kind that has numbers alone, back to back in one frame."""
    return [b"".join([encode(messages[0])[0], *(_numbers(message) for message in messages[1:])])]


def decode(frames: Frames) -> Message:
    """The message in `frames`. Raises UnknownMessage, also for several."""
    first, *others = decode_all(frames)
    if others:
        raise UnknownMessage(f"{1 + len(others)} messages where one should be")
    return first


def decode_all(frames: Frames) -> list[Message]:
    """The message in `frames`, or those that `encode_all` put there. Raises UnknownMessage."""
    try:
        name, zero, head = bytes(frames[0]).partition(b"\0")
        if not zero:
            raise ValueError("nothing follows its name")
        return _DECODERS[name](head, frames[1:])
    except (KeyError, IndexError, ValueError, TypeError, RecursionError, struct.error) as error:
        begin = bytes(frames[0][:20]) if frames else b""
        raise UnknownMessage(f"no message of this service: {begin!r} ({str(error)[:100]})") from None


_Codec = tuple[Callable[[Any], list[Any]], Callable[[bytes, Frames], list[Message]]]
_FORMATS = {"int": "q", "bool": "?", "float": "d"}
"""Of numbers, by how they are written in the dataclasses."""
_TYPES = {"int": int, "str": str, "list": list, "dict": dict}
"""Of what JSON carries, likewise."""


def _codec_of(kind: type[Message]) -> _Codec:
    if issubclass(kind, (Part, Answer, Rows)):
        return kind.to_frames, _alone(kind.of_frames)
    names = [one.name for one in fields(kind)]
    formats = [_FORMATS.get(str(one.type)) for one in fields(kind)]
    if None not in formats:
        return _packed(kind, names, Struct("<" + "".join(map(str, formats))))
    return _listed(kind, names, [_TYPES[str(one.type).partition("[")[0]] for one in fields(kind)])


def _alone(of_frames: Callable[[bytes, Frames], Message]) -> Callable[[bytes, Frames], list[Message]]:
    return lambda head, more: [of_frames(head, more)]


def _packed(kind: type[Message], names: list[str], packing: Struct) -> _Codec:
    name = kind.__name__.encode() + b"\0"
    values = attrgetter(*names) if len(names) > 1 else lambda message: [getattr(message, one) for one in names]

    def to_frames(message: Message) -> list[Any]:
        return [name + packing.pack(*values(message))]

    def of_frames(head: bytes, more: Frames) -> list[Message]:
        if more or (names and not head):
            raise ValueError("it has but one frame, with numbers")
        return [kind(*numbers) for numbers in packing.iter_unpack(head)] if names else [kind(*packing.unpack(head))]

    return to_frames, of_frames


def _numbers(message: Message) -> bytes:
    """What follows the name of a message of such a kind."""
    frame: bytes = encode(message)[0]
    return frame[len(type(message).__name__) + 1 :]


def _listed(kind: type[Message], names: list[str], types: list[type]) -> _Codec:
    name = kind.__name__.encode() + b"\0"

    def to_frames(message: Message) -> list[Any]:
        return [name + dump_json([getattr(message, one) for one in names])]

    def of_frames(head: bytes, more: Frames) -> list[Message]:
        values = json.loads(head)
        if more or type(values) is not list or [type(value) for value in values] != types:
            raise ValueError("its fields are not those of its kind")
        return [kind(*values)]

    return to_frames, of_frames


_CODECS: dict[type[Message], _Codec] = {kind: _codec_of(kind) for kind in get_args(Message)}
_DECODERS = {kind.__name__.encode(): codec[1] for kind, codec in _CODECS.items()}
