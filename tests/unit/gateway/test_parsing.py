"""From bodies as clients write them to fields: what is null, what begins with a mark, and what UTF-8 cannot express."""

from __future__ import annotations

import json
from typing import Any

import pytest

from bert_serving.server.gateway.parsing import parsed
from bert_serving.server.gateway.problems import Problem
from bert_serving.server.gateway.schemas import EmbeddingsBody, EncodeBody

HALF = "\ud83d"
ENCODE_A = EncodeBody.model_validate({"texts": ["a"]})


def refused(body: bytes | Any, kind: type[EmbeddingsBody] | type[EncodeBody] = EmbeddingsBody) -> Problem:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    with pytest.raises(Problem) as caught:
        parsed(bytearray(content), kind)
    caught.value.as_response()  # it can be told
    return caught.value


@pytest.mark.parametrize("name", ["model", "encoding_format", "dimensions", "user", "unknown"])
def test_null_is_not_given(name: str) -> None:
    body = parsed(bytearray(json.dumps({"input": "hello", name: None}).encode()), EmbeddingsBody)
    assert body == EmbeddingsBody.model_validate({"input": "hello"})


def test_null_is_not_given_to_encode_either() -> None:
    nulls = {"id": None, "is_tokenized": None, "show_tokens": None}
    assert parsed(bytearray(json.dumps({"texts": ["a"], **nulls}).encode()), EncodeBody) == ENCODE_A
    assert refused({"texts": None}, EncodeBody).message == "texts: Field required"


def test_a_null_within_a_list_is_looked_at() -> None:
    assert parsed(bytearray(b'{"texts": ["a", null]}'), EncodeBody).texts == ["a", None]


def test_a_byte_order_mark_is_no_part_of_the_body() -> None:
    assert parsed(bytearray(b'\xef\xbb\xbf{"input": "a"}'), EmbeddingsBody).input == "a"


@pytest.mark.parametrize(
    ("body", "param", "index", "says"),
    [
        ({"input": ["ok", HALF]}, "input", 1, "input[1] cannot be sent as UTF-8: it holds '\\ud83d'"),
        ({"input": ["ok", "tail \udc00", HALF]}, "input", 1, "input[1] "),
        ({"input": HALF}, "input", 0, "input "),
        ({"texts": [["a"], ["b", HALF]]}, "texts", 1, "texts[1] "),
        ({"model": HALF, "input": "a"}, "model", None, "model "),
        ({"input": "a", "user": ["x", {"y": HALF}]}, "user", None, "user[1] "),
        ({"input": "a", "more": {HALF: 1}}, "more", None, "more "),
        ({"input": "a", HALF: 1}, "\ufffd", None, "\ufffd "),
        (b'{"input": ["ok", "\xed\xa0\x80"]}', "input", 1, "input[1] "),
    ],
)
def test_half_of_a_surrogate_pair_is_named(body: Any, param: str, index: int | None, says: str) -> None:
    problem = refused(body)
    assert (problem.status, problem.param, problem.index) == (422, param, index)
    assert problem.message.startswith(says)


def test_a_whole_pair_is_a_letter() -> None:
    assert parsed(bytearray(b'{"input": "\\ud83d\\ude00"}'), EmbeddingsBody).input == "😀"


@pytest.mark.parametrize(
    ("body", "status", "says"),
    [
        (b"", 400, "the body is empty"),
        (b" \r\n", 400, "the body is empty"),
        (b"\xef\xbb\xbf", 400, "the body is empty"),
        (b"input=hello", 400, "not JSON in UTF-8"),
        ('{"input": "é"}'.encode("latin-1"), 400, "not JSON in UTF-8"),
        ('{"input": "a"}'.encode("utf-16"), 400, "not JSON in UTF-8"),
        (b'{"input": "\\ud83d"', 400, "not JSON in UTF-8"),
        (b'{"dimensions": NaN, "input": "a"}', 400, "not JSON in UTF-8"),
        (b'["\\ud83d"]', 400, "no low surrogate"),
        (b"[" * 100_000, 400, "not JSON in UTF-8"),
        (b'"hello"', 422, "must be a JSON object with fields, not 'hello'"),
        (b'["hello"]', 422, "must be a JSON object with fields, not a list of 1"),
        (b"null", 422, "must be a JSON object with fields, not None"),
    ],
)
def test_what_is_no_object(body: bytes, status: int, says: str) -> None:
    problem = refused(body)
    assert (problem.status, problem.index) == (status, None)
    assert says in problem.message
