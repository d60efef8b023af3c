"""The first tokens of a long text, from a part of it that ends with a word. No TensorFlow.

For tokenizers other than BERT's. The part ends with a letter or digit before a space. If every
part of the pipeline is known to end a word there, whatever follows, the ids of that part are the first ids of the whole
text. A text without such a place, or with too few tokens before it, is read further, in growing steps, at last as a
whole.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any

LEAST_PREFIX = 1024
CHARACTERS_A_TOKEN = 8
GROWTH = 4
"""How much of a text is looked at, at first and then: most tokens have fewer characters than that."""

_END = re.compile(
    r".*[0-9A-Za-z\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u017e\u0391-\u03a1\u03a3-\u03a9\u03b1-\u03c9\u0410-\u044f"
    r"\u05d0-\u05ea\u0621-\u063a\u0641-\u064a\u3041-\u3093\u30a1-\u30f6\u4e00-\u9fa5\uac00-\ud7a3](?= )",
    re.DOTALL,
)
"""Up to the last of the letters that begin no accent and are none, before a space."""

_UNICODE_FORMS = frozenset(("NFC", "NFD", "NFKC", "NFKD"))
_LOCAL_NORMALIZERS = _UNICODE_FORMS | frozenset(
    ("BertNormalizer", "Lowercase", "Nmt", "Precompiled", "Prepend", "Strip", "StripAccents")
)
"""Those that look at no more than a character and the marks on it, or at a text's ends."""
_SPLITTERS = frozenset(("BertPreTokenizer", "ByteLevel", "Metaspace", "Whitespace", "WhitespaceSplit"))
"""Those that end a word before a space, if they cut at all."""
_CUTTERS = frozenset(("Digits", "Punctuation"))
"""Those that cut words further, by no more than the kind of their characters."""


class Prefixes:
    """Reads texts for one tokenizer, of which `ends_words` is true."""

    def __init__(self, encode: Callable[[Sequence[str]], list[list[int]]], normalizer: Any) -> None:
        self._encode = encode
        self._normalizer = normalizer

    def first_ids(self, texts: Sequence[str], number: int, least_chars: int | None = None) -> list[list[int]]:
        """The first `number` ids of each text, or all that there are. `least_chars` of each are looked at first."""
        size = least_chars or max(LEAST_PREFIX, CHARACTERS_A_TOKEN * number)
        ends = [self._end(text, size) for text in texts]
        found = self._encode([text[:end] for text, end in zip(texts, ends, strict=True)])
        for place, (text, end) in enumerate(zip(texts, ends, strict=True)):
            length = size
            while end < len(text) and len(found[place]) < number:
                length *= GROWTH
                end = self._end(text, length)
                (found[place],) = self._encode([text[:end]])
            del found[place][number:]
        return found

    def _end(self, text: str, length: int) -> int:
        """Where a part of about this length ends; the text's end if there is no such place."""
        while length < len(text):
            found = _END.match(text, 0, length)
            if found and self._stays(text[found.end() - 1]):
                return found.end()
            length *= GROWTH
        return len(text)

    def _stays(self, character: str) -> bool:
        """Whether the normalizer leaves a letter or digit of it, so that a space after it follows a word."""
        normalized = self._normalizer.normalize_str(character) if self._normalizer else character
        return normalized[-1:].isalnum()


def ends_words(normalizer: dict[str, Any], pre_tokenizer: dict[str, Any], added: Iterable[Any]) -> bool:
    """Whether each part of a pipeline, given as in tokenizer.json, is known to end a word before a space."""
    pre_tokenizers = _all_of(pre_tokenizer, "pretokenizers")
    return (
        all(_is_local(part) for part in _all_of(normalizer, "normalizers"))
        and all(part["type"] in _SPLITTERS | _CUTTERS for part in pre_tokenizers)
        and any(_splits(part) for part in pre_tokenizers)
        and all(token.content.isspace() or not re.search(r"\s", token.content) for token in added)
    )


def _all_of(part: dict[str, Any], name: str) -> list[dict[str, Any]]:
    if part.get("type") == "Sequence":
        return [one for inner in part[name] for one in _all_of(inner, name)]
    return [part] if part else []


def _is_local(part: dict[str, Any]) -> bool:
    if part["type"] != "Replace":
        return part["type"] in _LOCAL_NORMALIZERS
    pattern = part["pattern"]
    return pattern == {"Regex": " {2,}"} or (" " not in pattern.get("String", " ") and pattern["String"] != "")


def _splits(part: dict[str, Any]) -> bool:
    return part["type"] in _SPLITTERS and part.get("use_regex", True) and part.get("split", True)
