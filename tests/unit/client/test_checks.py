"""What encode() refuses, and what it says about it."""

from __future__ import annotations

import unicodedata
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bert_serving.client import InvalidInputType, InvalidInputValue
from bert_serving.client.checks import check_texts, guess_length, guess_truncated, is_blank, truncation_text
from bert_serving.client.wire import dump_json

REFUSED: list[tuple[Any, bool, type[Exception], str]] = [
    ("a text", False, TypeError, r"texts must be a list of str, not str: pass \[texts\]"),
    (("a", "b"), False, TypeError, r"not tuple: pass list\(texts\)"),
    ({"a"}, False, TypeError, r"not set: pass list\(texts\)"),
    (np.array(["a"]), False, TypeError, r"not ndarray: pass texts.tolist\(\)"),
    ({"a": 1}, False, TypeError, "not dict$"),
    (b"a", False, TypeError, "not bytes$"),
    (None, False, TypeError, "not NoneType$"),
    ([], False, ValueError, "empty list"),
    (["a", "b", ""], False, ValueError, r"texts\[2\] must not be blank"),
    (["a", " \t\n"], False, ValueError, r"texts\[1\] must not be blank"),
    (["a", "\u3000"], False, ValueError, r"texts\[1\] must not be blank"),
    (["\u200b"], False, ValueError, r"texts\[0\] must not be blank, but is '\\u200b', which has no visible character"),
    (["a", "\ufeff \u00ad\u200d"], False, ValueError, r"texts\[1\] must not be blank"),
    (["\x00\x07\x85"], False, ValueError, r"texts\[0\] must not be blank"),
    (["\ufffd"], False, ValueError, r"texts\[0\] must not be blank"),
    (["\u2066\u2069"], False, ValueError, r"texts\[0\] must not be blank"),
    (["\U000e0041\U000e007f"], False, ValueError, r"texts\[0\] must not be blank"),
    (["a", b"b"], False, TypeError, r"texts\[1\] must be a str, not bytes"),
    (["a", None], False, TypeError, r"texts\[1\] must be a str, not NoneType"),
    ([["a"]], False, TypeError, r"texts\[0\] is a list: pass is_tokenized=True"),
    (["a", ["b"]], False, TypeError, r"texts\[1\] is a list, but texts\[0\] is a str"),
    (["a", "b\ud800c"], False, ValueError, r"texts\[1\] cannot be sent as UTF-8.*'\\ud800', at position 1"),
    ("a text", True, TypeError, r"list of lists of str \(is_tokenized=True\), not str"),
    ([], True, ValueError, "empty list"),
    (["a"], True, TypeError, r"texts\[0\] is a str, but is_tokenized=True"),
    ([["a"], "b"], True, TypeError, r"texts\[1\] is a str, but texts\[0\] is a list"),
    ([["a"], []], True, ValueError, r"texts\[1\] must not be an empty list"),
    ([["a"], ("b",)], True, TypeError, r"texts\[1\] must be a list of str, not tuple: pass list\(texts\[1\]\)"),
    ([["a", 3]], True, TypeError, r"texts\[0\]\[1\] must be a str, not int"),
    ([["a", " "]], True, ValueError, r"texts\[0\]\[1\] must not be blank"),
    ([["a", "\udfff"]], True, ValueError, r"texts\[0\]\[1\] cannot be sent"),
]


@pytest.mark.parametrize(("texts", "is_tokenized", "kind", "message"), REFUSED)
def test_refuses_with_the_place(texts: Any, is_tokenized: bool, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message) as raised:
        check_texts(texts, is_tokenized)
    assert isinstance(raised.value, (InvalidInputType, InvalidInputValue))


@given(st.lists(st.text(), min_size=1), st.booleans())
def test_what_passes_can_be_sent(texts: list[str], as_tokens: bool) -> None:
    candidate: Any = [texts] if as_tokens else texts
    try:
        checked = check_texts(candidate, as_tokens)
    except InvalidInputValue:
        return
    assert dump_json(checked)


@pytest.mark.parametrize(
    ("text", "length"),
    [
        ("First do it", 3),
        ("  a\tb\nc ", 3),
        ("你好世界", 4),
        ("BERT 你好 ok", 4),
        ("abc你def", 3),
        ("𠀀𠀁", 2),
        ("かな", 1),
        (["a", "b b"], 2),
    ],
)
def test_guess_length(text: Any, length: int) -> None:
    assert guess_length(text) == length


def test_guess_truncated() -> None:
    assert guess_truncated(["a b", "a b c", "你好吗"], 2) == [1, 2]
    assert guess_truncated(["a b"], 2) == []


def test_truncation_text_names_a_few() -> None:
    text = truncation_text(list(range(10)), 20, 25)
    assert "10 of 20" in text
    assert "max_seq_len=25" in text
    assert "(indices 0, 1, 2, 3, 4, ..)" in text
    assert "(indices 7)" in truncation_text([7], 20, None)


def test_what_is_blank_is_white_space_controls_and_formats_as_unicode_has_them() -> None:
    """Those that this Python knows: a later one may know more."""
    known = [one for one in map(chr, range(0x110000)) if unicodedata.category(one) not in ("Cn", "Cs")]
    blank = {one for one in known if one.isspace() or unicodedata.category(one) in ("Cc", "Cf")} | {"\ufffd"}
    assert {one for one in known if is_blank(one)} == blank
    assert not is_blank("\u200bx\u200b")
