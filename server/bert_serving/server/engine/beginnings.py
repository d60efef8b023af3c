"""The first tokens of a long text for any tokenizer that parts texts at spaces. No TensorFlow.

Such a tokenizer cuts each word by itself, so the ids of a text's beginning are the beginning of its ids if that ends
before a space between two words: a space with a letter or digit of ASCII on both sides, which no normalizer joins with
anything. Of a tokenizer that may not part there, the whole text is read.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

_LEAST_CHARACTERS = 1024
_CHARACTERS_A_TOKEN = 8
_GROWTH = 4
_WORD_SPACE_WORD = re.compile(r"[0-9A-Za-z] (?=[0-9A-Za-z])")

_LOCAL_NORMALIZERS = {
    "BertNormalizer", "NFC", "NFD", "NFKC", "NFKD", "Nmt", "Lowercase", "StripAccents", "Precompiled", "Strip",
    "ByteLevel",
}  # fmt: skip
"""What they do at one end of a text does not depend on the other."""
_PARTING = {"BertPreTokenizer", "Whitespace", "WhitespaceSplit", "ByteLevel", "Metaspace"}
"""Pre-tokenizers that part a text at each space between words."""
_OTHER_PRE_TOKENIZERS = {"Punctuation", "Digits", "UnicodeScripts", "CharDelimiterSplit"}


def breaks_at_spaces(parts: dict[str, Any]) -> bool:
    """Whether a pipeline is known to cut the words of a text one by one."""
    if not all(_is_local(one) for one in _members(parts.get("normalizer"), "normalizers")):
        return False
    for token in parts.get("added_tokens", ()):  # must not be cut themselves
        content = token["content"]
        if " " in content or content[:1].isalnum() or content[-1:].isalnum() or token.get("single_word"):
            return False
    return _parts(_members(parts.get("pre_tokenizer"), "pretokenizers"))


def _members(part: Any, name: str) -> list[Any]:
    if not isinstance(part, dict):
        return []
    return [one for member in part[name] for one in _members(member, name)] if part["type"] == "Sequence" else [part]


def _is_local(normalizer: Any) -> bool:
    if normalizer["type"] == "Replace":  # several spaces by one: it sees no more than these
        return bool(normalizer["pattern"] == {"Regex": " {2,}"})
    return normalizer["type"] in _LOCAL_NORMALIZERS


def _parts(pre_tokenizers: list[Any]) -> bool:
    for one in pre_tokenizers:
        if one["type"] == "ByteLevel" and not one.get("use_regex", True):
            continue
        if one["type"] == "Metaspace" and not one.get("split", True):
            continue
        if one["type"] in _PARTING:
            return True
        if one["type"] not in _OTHER_PRE_TOKENIZERS:
            return False
    return False


class Beginnings:
    """`encode` gives the ids of texts; `can_part` is what `breaks_at_spaces` says of its tokenizer."""

    def __init__(self, encode: Callable[[Sequence[str]], list[list[int]]], *, can_part: bool) -> None:
        self._encode = encode
        self._can_part = can_part

    def first_ids(self, texts: Sequence[str], number: int) -> list[list[int]]:
        """The first `number` ids of each text, or all that there are."""
        size = max(_LEAST_CHARACTERS, _CHARACTERS_A_TOKEN * number)
        ends = [self._end(text, size) for text in texts]
        found = self._encode([text[:end] for text, end in zip(texts, ends, strict=True)])
        for place, (text, end) in enumerate(zip(texts, ends, strict=True)):
            wider = size
            while end < len(text) and len(found[place]) < number:
                wider *= _GROWTH
                end = self._end(text, wider)
                (found[place],) = self._encode([text[:end]])
            del found[place][number:]
        return found

    def _end(self, text: str, size: int) -> int:
        """The first place from `size` on where a beginning may end; the text's end if there is none."""
        if len(text) <= size or not self._can_part:
            return len(text)
        found = _WORD_SPACE_WORD.search(text, size)
        return found.end() - 1 if found else len(text)
