"""The one or two texts of a row, from what was sent, and how much of each is kept. No TensorFlow.

A string is a text, or a pair as in "a ||| b"; a list of tokens is a pair if one of them is "|||".
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

from bert_serving.server.engine.prefixes import CHARACTERS_A_TOKEN

NOT_UNICODE = "the text is not valid Unicode: it has half of a surrogate pair"
STEP = 1 << 16
"""Characters or token ids that are looked at in one go."""
LEAST_END = 4096
"""Where a text's beginning is cut off, so many characters of its end are looked at, or those for each token."""
_SEPARATOR = "|||"
_PAIR_SEPARATOR = f" {_SEPARATOR} "
_BLANK = re.compile(r"\s+")


class Sides(NamedTuple):
    """The texts of a row, the second one empty if there is none, and where each begins in what was sent."""

    first: str
    second: str
    begins: tuple[int, int] = (0, 0)

    def end(self, tokens: int) -> Sides:
        """What is looked at of a single text of which so many of its last tokens may stay."""
        begin = _begin_of_end(self.first, max(LEAST_END, CHARACTERS_A_TOKEN * tokens))
        return Sides(self.first[begin:], "", (self.begins[0] + begin, 0)) if begin else self


def _begin_of_end(text: str, characters: int) -> int:
    """Where an end of about so many characters begins: behind a blank, if there is one before a word."""
    if len(text) <= characters:
        return 0
    blank = _BLANK.search(text, len(text) - characters)
    return blank.end() if blank and blank.end() < len(text) else len(text) - characters


def sides_of(text: str, *, as_written: bool) -> Sides | str:
    """Those of a string, or why there are none. `as_written`: the blanks around the text stay."""
    if not is_unicode(text):
        return NOT_UNICODE
    first, second = (_split_as_written if as_written else _split)(text)
    begin = 0 if as_written else len(text) - len(text.lstrip())
    return Sides(first, second, (begin, begin + len(first) + len(_PAIR_SEPARATOR)))


def sides_of_pair(pair: Any) -> Sides | str:
    """Those of a list of two, or why it is none."""
    if not isinstance(pair, list) or len(pair) != 2 or not all(isinstance(side, str) for side in pair):
        return "is_pair is set, but this is not a pair of texts"
    return Sides(*pair) if all(map(is_unicode, pair)) else NOT_UNICODE


def is_unicode(text: str) -> bool:
    if text.isascii():
        return True
    try:
        for begin in range(0, len(text), STEP):
            text[begin : begin + STEP].encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _split(text: str) -> tuple[str, str]:
    """Both sides of a pair: one line, cut at its last separator. Or the text, and nothing."""
    text = text.strip()
    first, separator, second = ("", "", "") if "\n" in text else text.rpartition(_PAIR_SEPARATOR)
    return (first, second) if separator else (text, "")


def _split_as_written(text: str) -> tuple[str, str]:
    """As `_split`, and the blanks around the text stay, which some tokenizers heed."""
    stripped = text.strip()
    first, second = _split(stripped)
    if not second and len(first) == len(stripped):
        return text, ""
    begin = text.index(stripped)
    return text[:begin] + first, second + text[begin + len(stripped) :]


def token_counts(tokens: Sequence[str]) -> tuple[int, int]:
    """How many tokens both sides of a tokenized pair have."""
    index = tokens.index(_SEPARATOR)
    return index, len(tokens) - index - 1


def split_tokens(tokens: Sequence[str], number: int) -> tuple[Sequence[str], Sequence[str]]:
    """The first `number` tokens of each side, cut at the first separator."""
    try:
        index = tokens.index(_SEPARATOR)
    except ValueError:
        return tokens[:number], ()
    return tokens[: min(index, number)], tokens[index + 1 : index + 1 + number]


def kept_lengths(first: int, second: int, room: int, *, library: bool) -> tuple[int, int]:
    """How many tokens stay of each side of a pair, so that both fit: the longer side loses a token at a time.

    When both are as long, Google's code takes from the second. Hugging Face's `tokenizers` gives the last odd token to
    the side that was longer, and to the second one if none was.
    """
    excess = max(0, first + second - room)
    # first the longer side comes down to the other's length, then they lose tokens in turn
    head_start = first - second
    from_first = min(excess, max(0, head_start))
    from_second = min(excess, max(0, -head_start))
    left = excess - from_first - from_second
    more, less = left - left // 2, left // 2
    if library and left and head_start <= 0:
        more, less = less, more
    return first - from_first - less, second - from_second - more
