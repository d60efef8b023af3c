"""The first tokens of a long text, in slices, so that the rest of it costs almost nothing. For BERT. No TensorFlow.

A slice ends before a character that always begins a new word: white space, punctuation, a Chinese character. A slice
without such a character is read piece by piece, each normalized by itself; of a word that continues, only so much is
kept as shows that it is too long to be known. A special token that is written in a text begins and ends with
punctuation; no slice ends inside one.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from typing import Any

LONGEST_WORD = 100
"""A word of more characters, once normalized, is [UNK]; that of Google's code."""
LEAST_SLICE = 1024
_LONGEST_ADDED = 64
_ADDED = re.compile(r"[!-/:-@\[-`{-~]\S*[!-/:-@\[-`{-~]")
_CHARACTERS_A_TOKEN = 8

_SPACES = re.compile(r"[ \t\n\r]*")
_BREAKS = r" \t\n\r\u00a0\u3000!-/:-@\[-`{-~\u3001\u3002\uff01\uff0c\uff1a\uff1b\uff1f"
_CHINESE = r"\u3400-\u4db5\u4e00-\u9fa5\uf900-\ufa2d\U00020000-\U0002a6d6\U0002a700-\U0002b734"
"""Those that every version of Unicode knows: one that a library does not know is no break, but left out."""
_INSIDE = re.compile(
    r"[\x00-\x080-9A-Za-z\u00c0-\u036f\u0400-\u052f\u0561-\u0587\u05d0-\u05ea\u0621-\u0669\u0904-\u0963\u0985-\u09e3"
    r"\u0b85-\u0bcd\u0c05-\u0c4d\u0d05-\u0d4d\u0e01-\u0e30\u0f40-\u0f6c\u1000-\u1049\u10d0-\u10fa\u1200-\u135a"
    r"\u1780-\u17d3\u200b-\u200f\u3041-\u3096\u30a1-\u30fa\ua000-\ua48c\uac00-\ud7a3\ue000-\uf8ff\U0001f300-\U0001f6ff]*"
)
"""Some of the characters that never end a word, to leap over the rest of one that is too long already."""
_STAYING_MARKS = re.compile(
    r"[\u1715\u1734\u1b44\u1baa\u1bf2\u1bf3\u302e\u302f\ua953\ua9c0\U000111c0\U00011235\U0001134d\U000113cf"
    r"\U000116b6\U0001193d\U00011f41\U00016ff0\U00016ff1\U0001d15e-\U0001d172\U0001d1bb-\U0001d1c0]"
)
"""Those with a combining class that are no non-spacing marks, and what has one of them in it."""


class LongTexts:
    """Cuts texts for one tokenizer: `encode` takes texts, `encode_normalized` what the normalizer made of them."""

    def __init__(
        self,
        encode: Callable[[Sequence[str]], list[list[int]]],
        encode_normalized: Callable[[str], list[int]],
        normalizer: Any,
        pre_tokenizer: Any,
        *,
        space_chinese: bool,
        longest_word: int = LONGEST_WORD,
        added: Sequence[str] = (),
    ) -> None:
        self._encode = encode
        self._encode_normalized = encode_normalized
        self._normalize: Callable[[str], str] = normalizer.normalize_str
        self._words: Callable[[str], list[tuple[str, tuple[int, int]]]] = pre_tokenizer.pre_tokenize_str
        breaks = _BREAKS + (_CHINESE if space_chinese else "")
        self._break = re.compile(f"[{breaks}]")
        self._up_to_last_break = re.compile(f".*(?=[{breaks}])", re.DOTALL)
        self._longest_word = longest_word
        longest_first = sorted(added, key=len, reverse=True)
        self._added = re.compile("|".join(map(re.escape, longest_first)) or "(?!)")
        self._any_added = re.compile(f"(?=({self._added.pattern}))")
        self._longest_added = max(map(len, added), default=0)

    @staticmethod
    def heeds(added: Iterable[Any]) -> bool:
        """Whether these added tokens are found in slices as in the whole text; each is a `tokenizers.AddedToken`."""
        return all(
            not token.normalized
            and not token.single_word
            and len(token.content) <= _LONGEST_ADDED
            and _ADDED.fullmatch(token.content)
            for token in added
        )

    def first_ids(self, texts: Sequence[str], number: int, slice_chars: int | None = None) -> list[list[int]]:
        """The first `number` ids of each text, or all that there are. A slice has at most `slice_chars`."""
        size = slice_chars or max(LEAST_SLICE, _CHARACTERS_A_TOKEN * number)
        ends = [self._slice_end(text, 0, size) for text in texts]
        found = self._encode([text[:end] for text, end in zip(texts, ends, strict=True)])
        for text, end, ids in zip(texts, ends, found, strict=True):
            if end < len(text) and len(ids) < number:
                self._go_on(text, end, ids, number, size)
            del ids[number:]
        return found

    def _go_on(self, text: str, begin: int, ids: list[int], number: int, size: int) -> None:
        """Add the ids of the text from `begin` on, until there are enough."""
        while begin < len(text) and len(ids) < number:
            begin = _end_of(_SPACES, text, begin, len(text))
            added = self._added.match(text, begin)
            end = added.end() if added else self._slice_end(text, begin, size, least=begin + 1)
            if end:
                ids += self._encode([text[begin:end]])[0]
                begin = end
            else:
                begin = self._read_without_breaks(text, begin, ids, number, size)

    def _slice_end(self, text: str, begin: int, size: int, least: int = 0) -> int:
        """Where a slice ends that begins here, from `least` on; 0 if there is no such place."""
        if len(text) <= begin + size:
            return len(text)
        found = self._up_to_last_break.match(text, least, begin + size)
        end = found.end() if found else 0
        while (start := self._start_of_added(text, end)) is not None:
            end = start if start >= least else 0
        return end

    def _start_of_added(self, text: str, end: int) -> int | None:
        """Where an added token begins that goes on at `end`; None without one."""
        if not self._longest_added or not end:
            return None
        window = max(0, end - self._longest_added + 1), min(len(text), end + self._longest_added - 1)
        return next((m.start() for m in self._any_added.finditer(text, *window) if m.start() < end < m.end(1)), None)

    def _read_without_breaks(self, text: str, begin: int, ids: list[int], number: int, size: int) -> int:
        """Add the ids of what has no break for a slice and more; returns where that ends, or where it was enough."""
        found = self._break.search(text, begin + 1)
        stop = found.start() if found else len(text)
        word = ""
        while begin < stop and len(ids) < number:
            end = _piece_end(text, begin, stop, size)
            normalized = word + self._normalize(text[begin:end])
            words = self._words(normalized) if end < stop else []
            # the last word may go on in the next piece
            until = words[-1][1][0] if words and words[-1][1][1] == len(normalized) else len(normalized)
            ids += self._encode_normalized(normalized[:until])
            word = normalized[until:][: self._longest_word + 1]
            begin = _end_of(_INSIDE, text, end, stop) if len(word) > self._longest_word else end
        ids += self._encode_normalized(word)
        return begin


def _end_of(pattern: re.Pattern[str], text: str, begin: int, end: int) -> int:
    """Where the characters end that the pattern takes from `begin` on."""
    found = pattern.match(text, begin, end)
    return found.end() if found else begin


def _piece_end(text: str, begin: int, stop: int, size: int) -> int:
    """Where a piece ends, so that pieces can be normalized one by one.

    That puts the marks on a letter in order, and then most of them away. What can show is two marks that stay and trade
    places, so these are not parted, unless they have a whole piece of marks and control characters between them.
    """
    end = begin + size
    if end >= stop:
        return stop
    if not _STAYING_MARKS.search(text, begin, end):
        return end
    return next((place for place in range(end, begin, -1) if _stands_fast(text[place])), end)


def _stands_fast(character: str) -> bool:
    """Whether it is a letter, digit or sign that every version of Unicode, and so every library, knows as such."""
    return (
        all(
            unicode.category(character)[0] in "LNPS" and not unicode.combining(character)
            for unicode in (unicodedata, unicodedata.ucd_3_2_0)
        )
        and character != "\ufffd"
    )
