"""The character positions of the tokens of a text, and where a long text is cut into chunks. No TensorFlow.

Both read the text once more, with the tokenizer's slower method that keeps offsets; only requests for them pay.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from bert_serving.server.engine.prefixes import CHARACTERS_A_TOKEN, GROWTH, LEAST_PREFIX
from bert_serving.server.engine.tokenization import TextTokenizer

Span = tuple[int, int]
"""The first character, and the one behind the last."""

NOWHERE: Span = (0, 0)
"""Of a token that is in no text."""


class Side(NamedTuple):
    """A text of a row as it was tokenized, from `begin` on of what was sent, after a `prompt` of so many characters.

    `kept` are its ids in the row, the last of its ids if it is `from_end`.
    """

    text: str
    prompt: int
    begin: int
    kept: Sequence[int]
    from_end: bool = False


def offsets_of(tokenizer: TextTokenizer, side: Side) -> list[Span]:
    """Those of the kept ids, as characters of the text that was sent."""
    number = len(side.kept)
    if not number:
        return []
    encoding = tokenizer.encoding(side.text) if side.from_end else _prefix(tokenizer, side)
    found = encoding.offsets[-number:] if side.from_end else encoding.offsets[:number]
    moved = [(max(0, begin - side.prompt), end - side.prompt) for begin, end in found]
    return [(begin + side.begin, end + side.begin) if end > 0 else NOWHERE for begin, end in moved]


def _prefix(tokenizer: TextTokenizer, side: Side) -> Any:
    """The encoding of so much of the text as has the kept ids in it."""
    number, size = len(side.kept), max(LEAST_PREFIX, CHARACTERS_A_TOKEN * len(side.kept))
    while size < len(side.text):
        encoding = tokenizer.encoding(side.text[:size])
        if len(encoding.ids) > number and encoding.ids[:number] == list(side.kept):
            return encoding
        size *= GROWTH
    return tokenizer.encoding(side.text)


class Words:
    """A text as tokens that know their words, to be cut between these."""

    def __init__(self, tokenizer: TextTokenizer, text: str) -> None:
        self.text = text
        encoding = tokenizer.encoding(text)
        self._offsets: list[Span] = encoding.offsets
        self._words: list[int | None] = encoding.word_ids

    def __len__(self) -> int:
        return len(self._offsets)

    def span(self, begin: int, end: int) -> Span:
        """The characters of these tokens."""
        return self._offsets[begin][0], self._offsets[end - 1][1]

    def end_of_chunk(self, begin: int, room: int) -> int:
        """Behind the last token of a chunk with so many at most: at the end of a word, unless it has but one."""
        end = min(begin + room, len(self))
        whole = end
        while begin < whole < len(self) and self._is_inside(whole):
            whole -= 1
        return whole if whole > begin else end

    def _is_inside(self, token: int) -> bool:
        """Whether a word goes on at this token."""
        return self._words[token] is not None and self._words[token] == self._words[token - 1]
