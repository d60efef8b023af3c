"""A pipeline that tokenizes as Google's BERT does, from a vocabulary with one token per line. No TensorFlow."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bert_serving.server.engine.long_texts import LONGEST_WORD
from bert_serving.server.engine.model_files import refuse_pointer
from bert_serving.server.errors import StartError

CLS, SEP, UNK = "[CLS]", "[SEP]", "[UNK]"


@dataclass(frozen=True)
class Normalization:
    """How text is cleaned before it is cut. `strip_accents` None: as `lowercase` says."""

    lowercase: bool = True
    strip_accents: bool | None = None
    space_chinese: bool = True
    clean: bool = True


def read_lines(path: Path) -> list[str]:
    """All tokens of vocab.txt, in the order of their ids. Raises StartError."""
    try:
        content = path.read_bytes()
        refuse_pointer(path, content)
        text = content.decode("utf-8")
    except OSError as error:
        raise StartError(f"{path} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise StartError(f"{path} is not UTF-8 ({error}): copy the file again") from error
    lines = text.split("\n")  # not splitlines(): vocabularies hold U+2028 and its like as tokens
    if not lines[-1]:
        lines.pop()
    return [line.strip() for line in lines]


def word_piece(tokens: Sequence[str], normalization: Normalization) -> str:
    """The JSON of `word_piece_parts`."""
    return json.dumps(word_piece_parts(tokens, normalization))


def word_piece_parts(
    tokens: Sequence[str], normalization: Normalization, cls: str = CLS, sep: str = SEP, unk: str = UNK
) -> dict[str, Any]:
    """A pipeline for a vocabulary in the order of its ids.

    It has no added tokens on purpose: the text "[CLS]" in a sentence is three tokens, as with Google's code.
    Raises StartError if a special token is missing.
    """
    ids = _unique(tokens)
    for token in (cls, sep, unk):
        if token not in ids:
            raise StartError(f"the vocabulary has no {token}: it does not belong to a BERT model")
    # written here and not by the library, whose versions might write the same pipeline in other words
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [],
        "normalizer": {
            "type": "BertNormalizer",
            "clean_text": normalization.clean,
            "handle_chinese_chars": normalization.space_chinese,
            "strip_accents": normalization.strip_accents,
            "lowercase": normalization.lowercase,
        },
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": {"type": "BertProcessing", "sep": [sep, ids[sep]], "cls": [cls, ids[cls]]},
        "decoder": None,
        "model": {
            "type": "WordPiece",
            "unk_token": unk,
            "continuing_subword_prefix": "##",
            "max_input_chars_per_word": LONGEST_WORD,
            "vocab": ids,
        },
    }


def _unique(tokens: Sequence[str]) -> dict[str, int]:
    """Ids by token. Of a token that is there twice the last one counts; the others get blanks, which no word has."""
    ids: dict[str, int] = {}
    for index in reversed(range(len(tokens))):
        name = tokens[index]
        while name in ids:
            name += " "
        ids[name] = index
    return dict(reversed(ids.items()))
