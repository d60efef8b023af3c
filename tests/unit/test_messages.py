"""Internal messages: what goes in comes out, and nothing else is taken."""

from __future__ import annotations

import json

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from bert_serving.server.transport.messages import (
    _BINARY_FIELDS,
    _PLAIN_FIELDS,
    Answer,
    Delivered,
    Done,
    Hello,
    Left,
    Load,
    Message,
    NewSink,
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
    Hello(1, {"address": "ipc://x", "keys": None}),
    Stage("loading \u4f60"),
    Ready("gpu:0"),
    Done(1, 256, 2, 30, 400, 512, 0.5, 1.5),
    Delivered(7, True),
    Left(7),
    Load("/tmp/graph.pb", {"address": "ipc://y", "keys": None}),
    Part(1, 300, 256, 44, False, None, b"\xff\x01id", b"12", b'["a"]'),
    Answer(b"id", b"{}", b"1", True, 3),
    Stop(),
    Rows(1, 2, 0, 2, "float32", 2, [1, 1], [["a"], []], [1], [3, 4], [], b"id", b"1", b"\0" * 16),
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


PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from([10**100, 2**63, -(2**63) - 1])
    | st.floats()
    | st.text(st.characters(), max_size=5)
    | st.just("\ud800"),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=20,
)
NUMBER_OF_PLAIN = {kind.__name__.encode(): len(names) for kind, names in _PLAIN_FIELDS.items()}
NUMBER_OF_BINARY = {kind.__name__.encode(): len(names) for kind, names in _BINARY_FIELDS.items()}


@settings(deadline=None)
@given(st.data(), st.sampled_from(sorted(NUMBER_OF_PLAIN)))
def test_fields_of_any_type_are_taken_or_refused(data: st.DataObject, name: bytes) -> None:
    count = NUMBER_OF_PLAIN[name]
    plain = data.draw(st.lists(PLAIN, min_size=count, max_size=count))
    try:
        message = decode([name, json.dumps(plain).encode(), *[b"bytes"] * NUMBER_OF_BINARY[name]])
    except UnknownMessage:
        return
    assert decode(encode(message)) == message


@settings(deadline=None)
@given(st.data(), st.sampled_from(MESSAGES))
def test_one_wrong_field_is_taken_or_refused(data: st.DataObject, message: Message) -> None:
    """All others are right, so that each check is reached."""
    name, plain, *binary = encode(message)
    values = json.loads(plain)
    assume(values)
    values[data.draw(st.integers(0, len(values) - 1))] = data.draw(PLAIN)
    try:
        taken = decode([name, json.dumps(values).encode(), *binary])
    except UnknownMessage:
        return
    assert decode(encode(taken)) == taken


@pytest.mark.parametrize(
    "frames",
    [
        [],
        [b"Stage"],
        [b"Stop", b"{}"] * 2,
        [b"Stage", b"[" * 100_000],
        [b"Stage", b'[{"a":' * 50_000],
        [b"Left", b"[" + b"9" * 5_000 + b"]"],
        [b"Left", b"[" + b"9" * 30 + b"]"],
        [b"Left", b"[1.0]"],
        [b"Left", b"[true]"],
        [b"Left", b"[[1]]"],
        [b"Left", b'["1"]'],
        [b"Left", b"[null]"],
        [b"Left", b'{"job":1}'],
        [b"Left", b"[1,2]"],
        [b"Left", b"[1]", b"more"],
        [b"Delivered", b"[1,1]"],
        [b"Stage", b'["\\ud800"]'],
        [b"Stage", b'["\xff"]'],
        [b"Load", b'["x",[]]'],
        [b"Load", b'["x",null]'],
        [b"Done", b"[1,2,3,4,5,6,NaN,1.0]"],
        [b"Done", b"[1,2,3,4,5,6,1e999,1.0]"],
        [b"Rows", b'[1,2,0,2,"float32",2,[1,"1"],null,[1],[3,4],[]]', b"id", b"1", b""],
        [b"Rows", b'[1,2,0,2,"float32",2,[1,1],[["a"],[7]],[1],[3,4],[]]', b"id", b"1", b""],
        [b"Rows", b'[1,2,0,2,"float32",2,null,null,[1],[3,4],[[1,2]]]', b"id", b"1", b""],
        [b"Rows", b'[1,2,0,2,"float32",2,null,null,[1],[3,4],[[1]]]', b"id", b"1", b""],
        [b"Rows", b'[1,2,0,2,"float32",2,null,null,{},[3,4],[]]', b"id", b"1", b""],
        [b"x" * 10_000],
    ],
    ids=lambda frames: b" ".join(frames)[:30].decode(errors="replace"),
)
def test_is_refused(frames: list[bytes]) -> None:
    with pytest.raises(UnknownMessage) as caught:
        decode(frames)
    assert len(str(caught.value)) < 300


def test_the_tuples_of_a_message_may_come_back_as_lists() -> None:
    rows = Rows(1, 2, 0, 2, "float32", 2, [], None, [], [0, 4], [(0, "why")], b"id", b"1", b"")
    found = decode(encode(rows))
    assert isinstance(found, Rows)
    assert [tuple(one) for one in found.failures] == rows.failures


def test_keys_of_a_line_are_not_in_its_repr() -> None:
    assert "secret" not in repr([Hello(1, {"k": "secret"}), Load("x", {"k": "secret"}), NewSink({"k": "secret"})])
