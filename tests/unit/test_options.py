"""The options of a request: what is not known, or is of a wrong kind, is refused by name, also in a longer table."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bert_serving.client import BertClient
from bert_serving.client.errors import InvalidInputValue
from bert_serving.client.options import MAX_TIMEOUT_MS, NO_OPTIONS, Option, Options
from bert_serving.client.wire import decode_options, encode_options


@dataclass(frozen=True, slots=True)
class More(Options):
    """The table with one row more."""

    color: str | None = Option("a string", lambda value: isinstance(value, str)).as_field()


def test_what_is_said_goes_over_the_wire_and_comes_back() -> None:
    assert encode_options(Options(timeout_ms=500)) == b'{"timeout_ms":500}'
    assert decode_options(b'{"timeout_ms":500}') == Options(timeout_ms=500)
    assert decode_options(b"{}") == decode_options(b'{"timeout_ms":null}') == NO_OPTIONS
    assert encode_options(NO_OPTIONS) == b""
    assert encode_options(More(color="red")) == b'{"color":"red"}'


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"color": "x"}, "unknown option 'color' ('x'): the known ones are timeout_ms"),
        ({"b": [1], "a": None, "timeout_ms": 5}, "unknown option 'a' (None), 'b' (a list of 1): the known ones are"),
        ({"timeout_ms": "5"}, "timeout_ms must be a whole number above 0, not '5'"),
        ({"timeout_ms": 0}, "timeout_ms must be a whole number above 0, not 0"),
        ({"timeout_ms": True}, "timeout_ms must be a whole number above 0, not True"),
        ({"timeout_ms": MAX_TIMEOUT_MS + 1}, "timeout_ms must be a whole number above 0, not 9007199254740992"),
    ],
    ids=range(6),
)
def test_what_is_refused_is_named_with_its_value_and_what_is_known(values: dict[str, Any], says: str) -> None:
    with pytest.raises(InvalidInputValue) as caught:
        Options.of(values)
    assert str(caught.value).startswith(says)


def test_a_row_more_is_known_and_checked() -> None:
    assert More.of({"color": "x", "timeout_ms": 5}) == More(5, color="x")
    with pytest.raises(InvalidInputValue, match="color must be a string, not 5"):
        More.of({"color": 5})
    with pytest.raises(InvalidInputValue, match=r"the known ones are timeout_ms, .*, color"):
        More.of({"when": 1})


def test_the_timeout_alone_changes_no_answer() -> None:
    assert Options(timeout_ms=5).shaping() == More(timeout_ms=5).shaping() == NO_OPTIONS
    assert More(5, color="x").shaping() == More(color="x")


@given(st.integers(1, 10**9), st.floats(0, 10**6), st.floats(0, 10**6))
def test_what_is_left_of_a_timeout_is_a_timeout(timeout_ms: int, now_s: float, later_s: float) -> None:
    options = Options(timeout_ms=timeout_ms)
    left_ms = options.until(options.deadline_s(now_s), now_s + later_s).timeout_ms
    assert left_ms is not None
    assert Options.of({"timeout_ms": left_ms}).timeout_ms == left_ms
    assert left_ms == 1 or abs(left_ms - (timeout_ms - 1000 * later_s)) < 2


def test_without_a_timeout_there_is_no_end() -> None:
    assert NO_OPTIONS.deadline_s(7.0) == inf
    assert NO_OPTIONS.until(inf, 7.0) == NO_OPTIONS


@pytest.mark.parametrize(("timeout_s", "timeout_ms"), [(None, None), (0.0, 1), (-3.0, 1), (1e300, MAX_TIMEOUT_MS)])
def test_a_clients_timeout_is_one_that_servers_take(timeout_s: float | None, timeout_ms: int | None) -> None:
    assert Options().in_time(timeout_s) == Options(timeout_ms=timeout_ms)


def test_what_would_change_the_answer_is_not_dropped_for_a_server_that_takes_no_options() -> None:
    with BertClient(ignore_all_checks=True) as client:
        assert client._understood(Options(timeout_ms=5)) == NO_OPTIONS
        with pytest.raises(InvalidInputValue, match="prompt: the server has not said that it supports request options"):
            client._understood(More(prompt="x"))
