"""Texts read in slices are those that a parser of the whole finds, and broken lists are refused by both."""

from __future__ import annotations

import json
import tracemalloc
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bert_serving.client.errors import MalformedMessage
from bert_serving.client.wire import decode_texts
from bert_serving.server.ventilator.text_list import Parts, TextList

TEXTS = st.text(st.sampled_from('ab ,[]{}"\\/\n\u00e9\u4f60\U0001f600\ud83d')) | st.text(max_size=30)
IDS = st.integers(-(10**30), 10**30)
LISTS = st.one_of(
    st.lists(TEXTS, min_size=1),
    st.lists(st.lists(TEXTS, min_size=1), min_size=1),
    st.lists(st.lists(IDS, min_size=1), min_size=1),
)
JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.floats() | IDS | TEXTS,
    lambda inner: st.lists(inner) | st.dictionaries(TEXTS, inner, max_size=2),
)
SPACE = st.text(" \t\r\n", max_size=40)
SLICES = st.integers(1, 40) | st.just(1 << 17)


def read(content: bytes, total: int, step: int = 3, slice_bytes: int = 1 << 17) -> TextList:
    texts = TextList(content, total, step, slice_bytes)
    for _ in range(10 * len(content) + 10):
        if texts.read():
            return texts
    raise AssertionError("it does not go on")


def joined(parts: Parts) -> list[Any]:
    assert list(parts) == [sum(count for count, _ in list(parts.values())[:number]) for number in range(len(parts))]
    found = [(count, json.loads(content)) for count, content in parts.values()]
    assert all(count == len(texts) for count, texts in found)
    return [text for _, texts in found for text in texts]


@st.composite
def written(draw: st.DrawFn, values: st.SearchStrategy[Any]) -> bytes:
    """JSON with white space at random places and with or without escapes."""
    space, other = draw(SPACE), draw(SPACE)
    separators = (space + "," + other, ":")
    is_ascii = draw(st.booleans())
    text = other + json.dumps(draw(values), ensure_ascii=is_ascii, separators=separators) + space
    return text.encode("utf-8", "surrogatepass")


@given(written(LISTS), st.integers(1, 5), SLICES)
@example(b'["' + b"\\\\" * 30 + b'"]', 1, 1)
@example(b'["' + b'\\"' * 30 + b'"]', 1, 5)
@example('["\\ud83d\\ude00\U0001f600\u4f60\u00e9"]'.encode() * 1, 1, 3)
@example(b'[["a"' + b" " * 50 + b",1]]", 1, 1)
def test_the_texts_are_those_of_the_whole(content: bytes, step: int, slice_bytes: int) -> None:
    try:
        expected = decode_texts(content)
    except MalformedMessage:
        with pytest.raises(MalformedMessage):
            read(content, content.count(b",") + 1, step, slice_bytes)
        return
    found = read(content, len(expected), step, slice_bytes)
    assert joined(found.parts) == expected
    assert all(count == step for count, _ in list(found.parts.values())[:-1])
    assert found.digest == read(content, len(expected), 7).digest
    longest = max(len(text.encode("utf-8", "surrogatepass")) if isinstance(text, str) else 1 for text in expected)
    assert longest <= found.longest <= len(content)
    for wrong in (len(expected) - 1, len(expected) + 1):
        with pytest.raises(MalformedMessage, match="frame 3 says"):
            read(content, wrong, step, slice_bytes)


def accepted(content: bytes) -> int:
    try:
        return len(decode_texts(content))
    except MalformedMessage:
        return 0


@given(st.data(), SLICES)
def test_what_is_broken_is_refused_by_both(data: st.DataObject, slice_bytes: int) -> None:
    content = bytearray(data.draw(written(JSON | LISTS)))
    for _ in range(data.draw(st.integers(0, 3))):
        place = data.draw(st.integers(0, len(content)))
        content[place : place + data.draw(st.integers(0, 3))] = data.draw(
            st.sampled_from([b"", b"[", b"]", b",", b'"', b"\\", b"{", b"1", b" ", b"\xff", b"\0", b"\\u12", b"0"])
        )
    whole = bytes(content)
    if total := accepted(whole):
        assert joined(read(whole, total, 2, slice_bytes).parts) == json.loads(whole.decode("utf-8", "surrogatepass"))
    else:
        for total in (1, whole.count(b",") + 1):
            with pytest.raises(MalformedMessage):
                read(whole, total, 2, slice_bytes)


@pytest.mark.parametrize(
    "content",
    [
        b"", b" ", b"[", b"[]", b"[ ]", b"[,]", b'["a",]', b'[,"a"]', b'["a",,"b"]', b'["a"]]',
        b'["a"] x', b'["a" "b"]',
        b'["a", 1]', b"[1]", b"[1e999]", b"[NaN]", b"[null]", b'[["a"], "b"]', b'[["a"], [1]]', b'[["a", 1]]',
        b"[[]]", b'[["a"], []]', b'[[["a"]]]', b"[[1.5]]", b"[[true]]", b"[[01]]", b"[[-]]",
        b"[[" + b"1" * 5000 + b"]]",
        b"[" * 100_000, b'[{"a": "b"}]', b'[["a", {}]]', b'["\n"]', b'["\\x"]', b'["\\u12"]', b'["\xff"]', b'["a\xc3"]',
        b'\xef\xbb\xbf["a"]', '["a"]'.encode("utf-16"), '["a"]'.encode("utf-16-le"), '["a"]'.encode("utf-32-be"),
        b'["a" ' + b" " * 300 + b'"b"]', b'[["a" ' + b" " * 300 + b'"b"]]', b'{"a": 1}', b'"a"', b"null", b"['a']",
    ],
    ids=range(46),
)  # fmt: skip
@pytest.mark.parametrize("slice_bytes", [1, 7, 1 << 17])
def test_what_is_no_list_of_texts(content: bytes, slice_bytes: int) -> None:
    with pytest.raises(MalformedMessage):
        decode_texts(content)
    with pytest.raises(MalformedMessage):
        read(content, max(1, content.count(b",") + 1), 3, slice_bytes)


@pytest.mark.parametrize(
    "content",
    [
        b'["' + b"x" * (20 << 20) + b'", "b"]',
        b'["' + "\U0001f600".encode() * (5 << 20) + b'", "b"]',
        b'["' + b"\\\\" * (10 << 20) + b'", "b"]',
        b'[["' + b'a", "' * (1 << 20) + b'"], ["b"]]',
        b"[[" + b"1, " * (1 << 20) + b"1], [2]]",
        b'["a"' + b" " * (20 << 20) + b', "b"]',
    ],
    ids=["ascii", "emoji", "backslashes", "tokens", "ids", "space"],
)
def test_one_long_text_is_read_in_pieces(content: bytes) -> None:
    tracemalloc.start()
    try:
        texts = read_all(TextList(content, 2, 1))
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert sum(len(part) for _, part in texts.parts.values()) >= len(content) - 2
    assert most < len(content) + (16 << 20)


@pytest.mark.parametrize("text", [b'"ab"', b'["a"]', b"[7]"])
def test_many_small_texts_take_the_memory_of_their_bytes(text: bytes) -> None:
    total = 400_000
    content = b"[" + b",".join([text] * total) + b"]"
    tracemalloc.start()
    try:
        texts = read_all(TextList(content, total, 256))
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert sum(count for count, _ in texts.parts.values()) == total
    assert most < len(content) + (16 << 20)


def test_lists_of_nothing_are_refused_in_the_first_slice() -> None:
    texts = TextList(b"[" + b"[]," * (1 << 20) + b"[]]", (1 << 20) + 1, 256)
    assert not texts.read()
    with pytest.raises(MalformedMessage, match="text 0"):
        texts.read()


def read_all(texts: TextList) -> TextList:
    while not texts.read():
        pass
    return texts
