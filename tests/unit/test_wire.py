"""The public frames: round trips, 1.10's exact bytes, and hostile input."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bert_serving.client import wire
from bert_serving.client.errors import BadRequest, MalformedMessage, RowFailed, ServerError, quoted
from bert_serving.client.options import Options

IDENTITIES = st.binary(min_size=1, max_size=40).filter(lambda identity: b"\0" not in identity)
TEXTS = st.one_of(
    st.lists(st.text(), min_size=1, max_size=5),
    st.lists(st.lists(st.text(), min_size=1, max_size=3), min_size=1, max_size=5),
)


def test_a_request_is_what_1_10_sends() -> None:
    assert wire.encode_request(b"id", 7, ["hey you", "\u4f60"]) == [b"id", '["hey you","\u4f60"]'.encode(), b"7", b"2"]
    assert wire.encode_command(b"id", 1, wire.Command.SHOW_CONFIG) == [b"id", b"SHOW_CONFIG", b"1", b"0"]


@given(IDENTITIES, st.integers(0, 10**18), TEXTS, st.none() | st.integers(1, 10**9))
def test_request_round_trip(identity: bytes, number: int, texts: wire.Texts, timeout_ms: int | None) -> None:
    frames = wire.encode_request(identity, number, texts)
    options = Options(timeout_ms=timeout_ms)
    request = wire.decode_request(frames if timeout_ms is None else [*frames, wire.encode_options(options)])
    assert request == wire.EncodeRequest(identity, b"%d" % number, texts, options)


@pytest.mark.parametrize(
    ("frames", "says", "sender"),
    [
        ([b"id", b"[]"], "4 frames", (b"id", None)),
        ([b"id", b'["a"]', b"1", b"1", b"{}", b""], "this one has 6", (b"id", b"1")),
        ([b"", b'["a"]', b"1", b"1"], "identity", (None, None)),
        ([b"a\0b", b'["a"]', b"1", b"1"], "zero byte", (None, None)),
        ([b"id", b'["a"]', b"one", b"1"], "request id", (b"id", None)),
        ([b"id", b'["a"', b"1", b"1"], "not JSON", (b"id", b"1")),
        ([b"id", b"[" * 100_000, b"1", b"1"], "not JSON", (b"id", b"1")),
        ([b"id", b"\xff\xfe", b"1", b"1"], "not JSON", (b"id", b"1")),
        ([b"id", b'{"a": 1}', b"1", b"1"], "JSON list", (b"id", b"1")),
        ([b"id", b"[]", b"1", b"0"], "non-empty", (b"id", b"1")),
        ([b"id", b'["a", 2]', b"1", b"2"], "text 1 is int", (b"id", b"1")),
        ([b"id", b'["a", ["b"]]', b"1", b"2"], "text 1 is list", (b"id", b"1")),
        ([b"id", b'[["a"], []]', b"1", b"2"], "text 1 must be a non-empty list of strings", (b"id", b"1")),
        ([b"id", b'[["a"], [3]]', b"1", b"2"], "text 1 must be a non-empty list of strings", (b"id", b"1")),
        ([b"id", b'["a"]', b"1", b"2"], "says b'2' texts, but frame 1 holds 1", (b"id", b"1")),
        ([b"id", b'["a"]', b"1", b"1", b"[]"], "options", (b"id", b"1")),
        (
            [b"id", b'["a"]', b"1", b"1", b'{"when":1}'],
            r"unknown option 'when' \(1\): the known ones are timeout_ms",
            (b"id", b"1"),
        ),
        ([b"id", b'["a"]', b"1", b"1", b'{"timeout_ms":0}'], "timeout_ms", (b"id", b"1")),
        ([b"id", b'["a"]', b"1", b"1", b'{"timeout_ms":true}'], "timeout_ms", (b"id", b"1")),
        ([b"id", b'["a"]', b"1", b"1", b'{"timeout_ms":1e400}'], "timeout_ms", (b"id", b"1")),
    ],
    ids=range(20),
)
def test_what_is_no_request(frames: list[bytes], says: str, sender: tuple[bytes | None, bytes | None]) -> None:
    with pytest.raises(MalformedMessage, match=says) as caught:
        wire.decode_request(frames)
    assert (caught.value.identity, caught.value.request_id) == sender


@given(st.lists(st.binary(max_size=60), max_size=7))
def test_random_frames_raise_the_one_error_or_are_read(frames: list[bytes]) -> None:
    for decode in (wire.decode_request, wire.decode_reply):
        with contextlib.suppress(MalformedMessage):
            decode(frames)


STRANGE = st.sampled_from(
    [
        rb'{"\ud800":1}',
        rb'{"timeout_ms":1,"timeout_ms":2}',
        rb'{"timeout_ms":1,"timeout\u005fms":2}',
        rb'{"timeout_ms":"\ud800"}',
        b'{"timeout_ms":' + b"9" * 5000 + b"}",
        b'{"timeout_ms":' + b"9" * 4000 + b"}",
        b'{"timeout_ms":1e999999}',
        b'{"timeout_ms":NaN}',
        b'{"timeout_ms":-Infinity}',
        b'{"a":' * 3000 + b"1" + b"}" * 3000,
        b"[" * 100_000,
        b'{"' + b"x" * 70_000 + b'":1}',
        b'{"' + b"x" * 5_000 + b'":1}',
        rb'{"\u0000\u001b[31m":1}',
        '{"timeout_ms":5}'.encode("utf-16"),
        b"\xef\xbb\xbf" + b'{"timeout_ms":5}',
        b'{"\xed\xa0\x80":1}',
        b'["\xed\xa0\x80"]',
        b"1_0",
        "\u0663".encode(),
        b"007",
        b"9" * 5000,
        b"-1",
        b'{"error":{"type":["x"],"message":{"a":1},"index":true}}',
        b'{"dtype":"object","shape":[1],"tokens":""}',
        b'{"dtype":"(1000000000,)f4","shape":[1],"tokens":""}',
        b'{"dtype":["f4"],"shape":[1]}',
        b'{"dtype":"float32","shape":[-1]}',
        b'{"dtype":"float32","shape":[1099511627776,1099511627776,0]}',
        b'{"dtype":"float32","shape":[true]}',
        b'{"dtype":"float32","shape":7}',
        b'{"dtype":"float32","shape":[0],"tokens":7,"truncated":{"a":1},"num_tokens":"x"}',
    ]
)
JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(st.characters(codec=None)),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(codec=None)), inner),
    max_leaves=8,
)
HEADERS = st.fixed_dictionaries(
    {},
    optional={
        "dtype": JSON | st.sampled_from(["float32", "int8", "object", "V8", "U1", "M8[s]"]),
        "shape": JSON | st.lists(st.integers(-1, 1 << 62), max_size=40),
        "tokens": JSON,
        "truncated": JSON,
        "num_tokens": JSON,
        "error": JSON
        | st.fixed_dictionaries(
            {}, optional={"type": JSON, "message": JSON, "index": JSON, "retry_after_ms": JSON | st.just(-1)}
        ),
    },
)
OPTIONS = st.dictionaries(st.just("timeout_ms") | st.text(st.characters(codec=None)), JSON, max_size=2)
FRAME = (
    STRANGE
    | st.binary(max_size=20)
    | (JSON | HEADERS | OPTIONS).map(lambda content: json.dumps(content).encode())
    | (JSON | OPTIONS).map(lambda content: json.dumps(content, ensure_ascii=False).encode("utf-8", "surrogatepass"))
)
GOOD: list[bytes] = [b"id", b'["a"]', b"1", b"1", b'{"timeout_ms":5}']


@given(st.integers(0, 4), FRAME, st.integers(1, 6))
def test_whatever_stands_in_one_frame_is_read_or_refused_in_words(place: int, frame: bytes, number: int) -> None:
    frames = [frame if place == index else good for index, good in enumerate(GOOD)][:number]
    text = "read"
    try:
        wire.decode_request(frames)
    except MalformedMessage as error:
        text = str(error)
    assert text.isascii()
    assert text.isprintable()
    assert len(text) < 600
    reply = wire.decode_reply(wire.encode_error_reply(b"id", b"1", BadRequest(text)))
    assert isinstance(reply, wire.ErrorReply)
    assert str(reply.error) == text


@given(FRAME, FRAME)
def test_whatever_a_server_sends_is_a_reply_or_malformed(header: bytes, content: bytes) -> None:
    for frames in ([b"id\0", header, content, b"1"], [b"id\0", header, b"1"]):
        with contextlib.suppress(MalformedMessage):
            reply = wire.decode_reply(frames)
            assert not isinstance(reply, wire.RowsReply) or reply.array.dtype.kind in "fiub"


@given(st.text(st.characters(codec=None), max_size=5000))
def test_an_error_can_be_sent_whatever_it_says(text: str) -> None:
    reply = wire.decode_reply(wire.encode_error_reply(b"id", b"1", RowFailed(text, 3)))
    assert isinstance(reply, wire.ErrorReply)
    assert str(reply.error) == (text if len(text) <= 2000 else text[:2000] + "...")


@given(JSON | st.binary())
def test_what_is_quoted_is_short_and_printable(value: Any) -> None:
    shown = quoted(value)
    assert shown.isascii()
    assert shown.isprintable()
    assert len(shown) <= 83


@pytest.mark.parametrize(
    "value",
    [10**10_000, ["a"] * 10**6, {"a": 1}, object(), "\ud800" * 99, b"\x1b" * 99, 1e999],
    ids=range(7),
)
def test_what_is_quoted_is_short_even_if_it_is_long(value: Any) -> None:
    assert quoted(value).isascii()
    assert len(quoted(value)) <= 83


def test_tokens_with_half_a_surrogate_pair_are_sent() -> None:
    frames = wire.encode_rows_reply(b"id", b"3", np.ones((1, 2), np.float32), [["\ud800"]])
    reply = wire.decode_reply([bytes(frame) for frame in frames])
    assert isinstance(reply, wire.RowsReply)
    assert reply.tokens == [["\ud800"]]


@pytest.mark.parametrize("size", [4096, 4097])
def test_an_identity_has_a_longest(size: int) -> None:
    frames = [b"i" * size, *GOOD[1:]]
    if size <= wire.MAX_IDENTITY_BYTES:
        assert wire.decode_request(frames).identity == frames[0]
    else:
        with pytest.raises(MalformedMessage, match="is longer than 4096 bytes") as caught:
            wire.decode_request(frames)
        assert caught.value.identity is None


@pytest.mark.parametrize("shape", [(2, 3), (2, 4, 3)])
@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_rows_reply_round_trip(shape: tuple[int, ...], dtype: type) -> None:
    array: np.ndarray[Any, np.dtype[Any]] = np.random.default_rng(0).random(shape).astype(dtype)
    frames = [bytes(frame) for frame in wire.encode_rows_reply(b"id", b"3", array, [["a"], ["b"]], [1])]
    reply = wire.decode_reply(frames)
    assert isinstance(reply, wire.RowsReply)
    np.testing.assert_array_equal(reply.array, array)
    assert (reply.identity, reply.request_id, reply.tokens, reply.truncated) == (b"id", 3, [["a"], ["b"]], [1])


def test_a_1_10_client_finds_what_it_reads() -> None:
    """It takes the id from the last frame, JSON from frame 1, the array from frame 2."""
    frames = wire.encode_rows_reply(b"id", b"3", np.ones((1, 2), np.float32))
    header = json.loads(frames[1])
    assert header == {"dtype": "float32", "shape": [1, 2], "tokens": ""}
    assert np.frombuffer(memoryview(frames[2]), header["dtype"]).reshape(header["shape"]).tolist() == [[1, 1]]
    assert int(frames[-1]) == 3
    assert "dtype" not in json.loads(wire.encode_error_reply(b"id", b"3", BadRequest("no"))[1])


@pytest.mark.parametrize("error", [BadRequest("b"), RowFailed("r", 4), ServerError("s")], ids=lambda e: e.wire_type)
def test_errors_arrive_as_what_they_are(error: ServerError) -> None:
    reply = wire.decode_reply(wire.encode_error_reply(b"id", b"3", error))
    assert isinstance(reply, wire.ErrorReply)
    assert type(reply.error) is type(error)
    assert (str(reply.error), reply.error.index) == (str(error), error.index)


def test_no_topic_begins_another() -> None:
    assert not wire.topic(b"ab").startswith(wire.topic(b"a"))
