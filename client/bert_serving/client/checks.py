"""Checks what is passed to `encode()`, and guesses which texts are too long. Pure: no socket, no server.

Every refusal is an InvalidInputType or an InvalidInputValue that names the position, such as `texts[3]`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from bert_serving.client.errors import InvalidInput, InvalidInputType, InvalidInputValue, quoted
from bert_serving.client.wire import Texts

_SHOWN_INDICES = 5

# BERT's tokenizer makes a token of each of these characters, whatever stands next to them.
_CJK = (
    "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
    "\U00020000-\U0002a6df\U0002a700-\U0002b73f\U0002b740-\U0002b81f\U0002b820-\U0002ceaf\U0002f800-\U0002fa1f"
)
_WORD = re.compile(rf"[{_CJK}]|[^\s{_CJK}]+")


_VISIBLE = re.compile(
    r"[^\s\x00-\x1f\x7f-\x9f\xad\u0600-\u0605\u061c\u06dd\u070f\u0890\u0891\u08e2\u180e\u200b-\u200f\u202a-\u202e"
    r"\u2060-\u2064\u2066-\u206f\ufeff\ufff9-\ufffb\ufffd\U000110bd\U000110cd\U00013430-\U0001343f"
    r"\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0001\U000e0020-\U000e007f]"
)
"""A character that tokenizers do not leave out: none of white space, control and format characters, and U+FFFD."""


class TruncationWarning(UserWarning):
    """Some texts are longer than the server's `max_seq_len`: their vectors do not cover the rest."""


def check_texts(texts: Any, is_tokenized: bool, *, is_pair: bool = False) -> Texts:
    """Return `texts` if it can be sent, or with pairs a list of lists that can.

    Args:
        texts: a list of str; if `is_tokenized` of lists of str, or of lists of int, which are token ids; if `is_pair`
            of tuples or lists of two str.
        is_tokenized: whether each text is a list of tokens.
        is_pair: whether each is a pair of texts.

    Raises:
        InvalidInputType: not a list, or an element of the wrong type.
        InvalidInputValue: an empty list, a blank string, or text that UTF-8 cannot express.
    """
    if is_pair and is_tokenized:
        raise InvalidInputValue(
            "is_pair and is_tokenized cannot be combined: in a list of tokens, the first '|||' separates the pair"
        )
    if not isinstance(texts, list):
        kind = "pairs of str (is_pair=True)" if is_pair else _expected(is_tokenized)
        raise InvalidInputType(f"texts must be a list of {kind}, not {type(texts).__name__}{_cure(texts)}")
    if not texts:
        raise InvalidInputValue("texts must not be an empty list")
    check = _check_pair if is_pair else _check_tokens if is_tokenized else _check_text
    for index, text in enumerate(texts):
        try:
            check(text, f"texts[{index}]", index)
        except InvalidInput as error:
            error.index = index
            raise
    return [list(pair) for pair in texts] if is_pair else texts


def _expected(is_tokenized: bool) -> str:
    return "lists of str (is_tokenized=True)" if is_tokenized else "str"


def _cure(texts: Any) -> str:
    """What to pass instead of something that is not a list."""
    if isinstance(texts, str):
        return ": pass [texts]"
    if callable(getattr(texts, "tolist", None)):  # of NumPy, pandas and their like
        return ": pass texts.tolist()"
    return ": pass list(texts)" if isinstance(texts, Iterable) and not isinstance(texts, (bytes, Mapping)) else ""


def _check_text(text: Any, place: str, index: int) -> None:
    if isinstance(text, list):
        if index:
            raise InvalidInputType(
                f"{place} is a list, but texts[0] is a str: send plain and tokenized texts in separate calls"
            )
        raise InvalidInputType(f"{place} is a list: pass is_tokenized=True if texts holds lists of tokens")
    _check_plain(text, place)


def _check_plain(text: Any, place: str) -> None:
    _check_str(text, place)
    if is_blank(text):
        raise InvalidInputValue(f"{place} must not be blank, but is {quoted(text)}, which has no visible character")


def _check_pair(pair: Any, place: str, index: int) -> None:
    if not isinstance(pair, (tuple, list)) or len(pair) != 2:
        what = f"of {len(pair)}" if isinstance(pair, (tuple, list)) else type(pair).__name__
        raise InvalidInputType(f"{place} must be a pair of str because is_pair=True, not {what}")
    for number, text in enumerate(pair):
        _check_plain(text, f"{place}[{number}]")


def _check_tokens(tokens: Any, place: str, index: int) -> None:
    if isinstance(tokens, str):
        if index:
            raise InvalidInputType(
                f"{place} is a str, but texts[0] is a list: send plain and tokenized texts in separate calls"
            )
        raise InvalidInputType(f"{place} is a str, but is_tokenized=True: pass lists of tokens, or leave it out")
    if not isinstance(tokens, list):
        cure = _cure(tokens).replace("texts", place)
        raise InvalidInputType(f"{place} must be a list of str, not {type(tokens).__name__}{cure}")
    if not tokens:
        raise InvalidInputValue(f"{place} must not be an empty list")
    check = _check_id if type(tokens[0]) is int else _check_str
    for position, token in enumerate(tokens):
        check(token, f"{place}[{position}]")


def _check_id(token: Any, place: str) -> None:
    if type(token) is not int:
        raise InvalidInputType(f"{place} must be a token id like those before it, not {type(token).__name__}")


def _check_str(text: Any, place: str) -> None:
    if not isinstance(text, str):
        raise InvalidInputType(f"{place} must be a str, not {type(text).__name__}")
    if not text or text.isspace():
        raise InvalidInputValue(f"{place} must not be blank, but is {text!r}")
    if not text.isascii():
        _check_unicode(text, place)


def is_blank(text: str) -> bool:
    """Whether a text has nothing that would become a token, for example only zero-width spaces."""
    return _VISIBLE.search(text) is None


def _check_unicode(text: str, place: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        character = text[error.start]
        raise InvalidInputValue(
            f"{place} cannot be sent as UTF-8: it has a lone surrogate, {character!r}, at position {error.start}"
        ) from None


def guess_length(text: str | Sequence[object]) -> int:
    """The minimum number of tokens in `text`: its words, with each CJK character as a word of its own."""
    return len(_WORD.findall(text)) if isinstance(text, str) else len(text)


def guess_truncated(texts: Texts, max_seq_len: int) -> list[int]:
    """Indices of the texts that certainly have more than `max_seq_len` tokens; word pieces are not counted."""
    return [index for index, text in enumerate(texts) if guess_length(text) > max_seq_len]


def truncation_text(truncated: Sequence[int], num_texts: int, max_seq_len: int | None) -> str:
    """What a TruncationWarning says."""
    first = ", ".join(map(str, truncated[:_SHOWN_INDICES])) + (", .." if len(truncated) > _SHOWN_INDICES else "")
    limit = f"max_seq_len={max_seq_len}" if max_seq_len else "the longest sequence"
    return (
        f"{len(truncated)} of {num_texts} texts are longer than {limit} of the server and are cut (indices {first}): "
        "start the server with a larger -max_seq_len, send shorter texts, or silence this with check_length=False"
    )
