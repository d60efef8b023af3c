"""Internal messages: what goes in comes out, and nothing else is taken."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

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
    UnknownMessage,
    decode,
    encode,
)

MESSAGES: list[Message] = [
    Hello(1, "ipc://x"),
    Stage("loading \u4f60"),
    Ready("gpu:0", "f00"),
    Done(1, 256, 2, 30, 400, 512, 0.5, 1.5),
    Delivered(7, True),
    Left(7),
    Load("/tmp/graph.pb", "ipc://y"),
    Census("ready", [{"name": "worker-0", "pid": 7}], ["worker-0.1"], "f00"),
    Part(1, 300, 256, 44, False, None, b"\xff\x01id", b"12", b'["a"]'),
    Answer(3, b"id", b"{}", b"1", True),
    Stop(),
    Rows(1, 2, 0, 2, "float32", 2, [1, 1], [["a"], []], [1], [3, 4], [], "f00", b"id", b"1", b"\0" * 16),
]


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: type(message).__name__)
def test_round_trip(message: Message) -> None:
    assert decode(encode(message)) == message


@given(
    st.lists(st.one_of(st.binary(max_size=20), st.sampled_from([b"Part", b"Rows", b"[]", b"[1]", b"Stop"])), max_size=5)
)
def test_anything_else_is_refused(frames: list[bytes]) -> None:
    try:
        message = decode(frames)
    except UnknownMessage:
        return
    assert encode(message)[0] == frames[0]


@pytest.mark.parametrize(
    "frames",
    [
        [],
        [b"Stage"],
        [b"Stop", b"{}"] * 2,
        [b"Stage", b"[" * 100_000],
        [b"Stage", b'[{"a":' * 50_000],
        [b"Left", b"[" + b"9" * 5_000 + b"]"],
        [b"Left", b'{"job":1}'],
        [b"Left", b"[1,2]"],
        [b"Left", b"[1]", b"more"],
        [b"Stage", b'["\xff"]'],
        [b"x" * 10_000],
    ],
    ids=lambda frames: b" ".join(frames)[:30].decode(errors="replace"),
)
def test_is_refused(frames: list[bytes]) -> None:
    with pytest.raises(UnknownMessage) as caught:
        decode(frames)
    assert len(str(caught.value)) < 300
