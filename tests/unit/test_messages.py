"""Internal messages: what goes in comes out, and nothing else is taken."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bert_serving.server.message.codec import UnknownMessage, decode, encode
from bert_serving.server.message.envelope import Envelope
from bert_serving.server.message.messages import (
    Answer,
    Census,
    Delivered,
    Done,
    Hello,
    Left,
    Load,
    Message,
    Part,
    Ready,
    Rows,
    Stage,
    Stop,
)
from bert_serving.server.message.tickets import PartKey

ENVELOPE = Envelope(1, 300, b"\xff\x01id", b"12")
MESSAGES: list[Message] = [
    Hello(1, "ipc://x"),
    Stage("loading \u4f60"),
    Ready("gpu:0", "f00"),
    Done(1, 256, 2, 30, 400, 512, 0.5, 1.5),
    Delivered(7, True),
    Left(7),
    Load("/tmp/graph.pb", "ipc://y"),
    Census("ready", [{"name": "worker-0", "pid": 7}], ["worker-0.1"], "f00"),
    Part(ENVELOPE, 256, 44, False, None, b'["a"]'),
    Part(ENVELOPE, 0, 256, True, 1, b'["a"]'),
    Answer(3, [b"id\0", b"{}", b"", b"1"]),
    Stop(),
    Rows(ENVELOPE, 0, 2, b"\1\2\3\4" * 2, "bfloat16", 2, data=b"\0" * 8),
    Rows(ENVELOPE, 298, 2, bytes(8), "float32", 2, 77, "f" * 32, [1, 1], [["\u4f60"], []], [1], data=b"\0" * 16),
    Rows(
        ENVELOPE,
        4,
        1,
        bytes(4),
        "float32",
        3,
        views=[1, 2],
        model="m",
        offsets=[[[0, 0], [0, 5]]],
        ids=[[101, 7]],
        special=[[0]],
        chunks=[[[0, 5]]],
        data=b"\0" * 12,
    ),
]


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: type(message).__name__)
def test_round_trip(message: Message) -> None:
    assert decode(encode(message)) == message


@given(st.sampled_from(MESSAGES), st.data())
def test_a_message_that_is_cut_or_changed_is_read_or_refused(message: Message, data: st.DataObject) -> None:
    frames = [bytes(frame) for frame in encode(message)]
    place = data.draw(st.integers(0, len(frames) - 1))
    frame = bytearray(frames[place])
    at = data.draw(st.integers(0, len(frame)))
    frame[at : at + data.draw(st.integers(0, 9))] = data.draw(st.binary(max_size=9))
    with suppress(UnknownMessage):
        decode([*frames[:place], bytes(frame), *frames[place + 1 :]])


@pytest.mark.parametrize(
    "frame",
    [
        b'Hello\0["x","",""]',
        b'Hello\0[1,{},""]',
        b'Hello\0[true,"",""]',
        b"Ready\0[7,[]]",
        b"Stage\0[null]",
        b'Resize\0["many",""]',
        b'Census\0["ready",{},[],""]',
        b"Lost\0[[]]",
    ],
)
def test_fields_of_another_type_are_refused(frame: bytes) -> None:
    with pytest.raises(UnknownMessage):
        decode([frame])


def test_a_part_says_nothing_of_its_request_but_by_the_envelope_which_its_rows_pass_on() -> None:
    part = decode(encode(Part(ENVELOPE, 256, 44, False, None, b'["a"]')))
    assert isinstance(part, Part)
    rows = decode(encode(Rows(part.envelope, part.offset, part.count, bytes(4 * part.count))))
    assert isinstance(rows, Rows)
    assert (rows.envelope, rows.key) == (ENVELOPE, PartKey(1, 256))


@given(
    st.lists(
        st.one_of(
            st.binary(max_size=20),
            st.sampled_from([b"Part\0", b"Rows\0", b"Left\0" + bytes(8), b"[1]", b"Stop\0", b"Stop"]),
        ),
        max_size=5,
    )
)
def test_anything_else_is_refused(frames: list[bytes]) -> None:
    try:
        message = decode(frames)
    except UnknownMessage:
        return
    assert encode(message)[0] == frames[0]
    assert decode(encode(message)) == message


@pytest.mark.parametrize(
    "frames",
    [
        [],
        [b"Stage"],
        [b"Stop"],
        [b"Stop\0", b"{}"],
        [b"Stop\0{}"],
        [b"Stage\0" + b"[" * 100_000],
        [b"Stage\0" + b'[{"a":' * 50_000],
        [b"Left\0" + b"9" * 5_000],
        [b"Left\0" + b"1234567"],
        [b'Stage\0{"text":"a"}'],
        [b'Stage\0["a","b"]'],
        [b"Left\0" + bytes(8), b"more"],
        [b'Stage\0["\xff"]'],
        [b"Part\0" + b"\xff" * 40, b'["a"]'],
        [b"Answer\0" + bytes(8), b"id\0", b"1"],
        [b"x" * 10_000],
    ],
    ids=lambda frames: b" ".join(frames)[:30].decode(errors="replace"),
)
def test_is_refused(frames: list[bytes]) -> None:
    with pytest.raises(UnknownMessage) as caught:
        decode(frames)
    assert len(str(caught.value)) < 300
