"""The fast reader of texts gives what Python's own gives, or nothing; so no answer and no error depends on it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bert_serving.client.errors import MalformedMessage
from bert_serving.client.wire import decode_texts
from bert_serving.server.message import json_texts
from bert_serving.server.ventilator import reading

LONG_NUMBERS = st.sampled_from([2**63 - 1, 2**63, 2**64 - 1, 2**64, -(2**63), -(2**63) - 1, 10**30, 10**400])
NUMBERS = st.integers() | LONG_NUMBERS
TEXTS = st.text() | st.text(st.sampled_from('a,[]{}"\\/\n\0\x1f\x7f\u00e9\u4f60\U0001f600\ud83d\ude00'))
LISTS = st.one_of(
    st.lists(TEXTS, min_size=1),
    st.lists(st.lists(TEXTS, min_size=1), min_size=1),
    st.lists(st.lists(NUMBERS, min_size=1), min_size=1),
)
JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.floats() | NUMBERS | TEXTS,
    lambda inner: st.lists(inner) | st.dictionaries(TEXTS, inner, max_size=2),
)
ODD = [
    b'["\\ud800"]', b'["\\ud83d\\ude00"]', b'["\xed\xa0\x80"]', b'["\xff"]', b'["a\x00b"]', b'["a\nb"]', b'["\x7f"]',
    b"[NaN]", b"[[Infinity]]", b"[[-Infinity]]", b"[[1e3]]", b"[[1E400]]", b"[[-0]]", b"[[01]]", b"[[1.0]]", b"[[+1]]",
    b"[[18446744073709551616]]", b"[[-9223372036854775809]]", b"[[true]]", b'[["a", 1]]', b'["a", ["b"]]', b"[[]]",
    b"[]", b'[{"a": 1, "a": 2}]', b'["a"] x', b' ["a"]\r\n', b'\xef\xbb\xbf["a"]', b'["a",]', b"['a']", b'["a"',
    b"", b"null", b'"a"', b"[" * 900 + b"]" * 900, b"[" * 100_000, b"[[" + b"1" * 5_000 + b"]]", b'["\\x"]',
    b'["\\u12"]', b'\x00["a"]',
    '["a"]'.encode("utf-16"), '["a"]'.encode("utf-32"), b'["a"]\x00', b"/**/[1]",
]  # fmt: skip


@st.composite
def written(draw: st.DrawFn) -> bytes:
    """JSON, much of it texts, in several hands; some of it broken at a random place."""
    separators = draw(st.sampled_from([(",", ":"), (", ", ": "), ("\n,\t", " :")]))
    text = json.dumps(draw(LISTS | JSON), ensure_ascii=draw(st.booleans()), separators=separators)
    content = bytearray(text.encode("utf-8", "surrogatepass"))
    if draw(st.booleans()):
        at = draw(st.integers(0, len(content)))
        content[at : at + draw(st.integers(0, 3))] = draw(st.binary(max_size=3))
    return bytes(content)


def outcome(content: bytes, total: int, step: int) -> Any:
    """What becomes of texts, or what is said of them."""
    read = reading.Reading(memoryview(content), total, step)
    try:
        while not read.read():
            pass
    except MalformedMessage as error:
        return str(error)
    parts = {offset: (count, json.loads(part)) for offset, (count, part) in read.parts.items()}
    return parts, read.digest, read.longest


def odd_ones(test: Any) -> Any:
    for content in ODD:
        test = example(content)(test)
    return test


@odd_ones
@given(written())
def test_what_is_read_is_what_pythons_own_reader_gives(content: bytes) -> None:
    found = json_texts.read(content)
    if found is not None:
        texts = decode_texts(content)
        assert repr(found) == repr(texts)


@pytest.mark.parametrize("step", [1, 256])
@odd_ones
@given(written())
def test_answers_and_errors_are_those_of_pythons_own_reader(step: int, content: bytes) -> None:
    total = max(1, content.count(b",") + 1)
    found = [outcome(content, number, step) for number in (1, 2, total)]
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(json_texts, "read", lambda content: None)
        assert found == [outcome(content, number, step) for number in (1, 2, total)]


@given(st.lists(st.text(), min_size=1) | st.lists(st.lists(st.integers(0, 2**63), min_size=1), min_size=1))
def test_usual_texts_are_read(texts: list[Any]) -> None:
    assert json_texts.read(json.dumps(texts).encode()) == texts


@given(LISTS)
def test_what_is_written_is_what_pythons_own_writer_says(texts: list[Any]) -> None:
    assert json.loads(json_texts.write(texts)) == json.loads(json.dumps(texts))
