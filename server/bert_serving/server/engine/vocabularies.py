"""Pipelines out of plain vocabularies: vocab.txt for WordPiece, vocab.json with merges.txt for byte-level BPE.

The JSON is written here and not by the library, whose versions might write the same pipeline in other words.
No TensorFlow.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bert_serving.server.engine.long_texts import LONGEST_WORD
from bert_serving.server.engine.model_folder import refuse_pointer
from bert_serving.server.errors import StartError

Parts = dict[str, Any]
"""The JSON of a `tokenizers` pipeline."""


@dataclass(frozen=True)
class Normalization:
    """How text is cleaned before it is cut. `strip_accents` None: as `lowercase` says."""

    lowercase: bool = True
    strip_accents: bool | None = None
    space_chinese: bool = True
    clean: bool = True


@dataclass(frozen=True)
class SpecialTokens:
    """Those that a tokenizer puts around texts, and the one for unknown words."""

    cls: str = "[CLS]"
    sep: str = "[SEP]"
    unk: str = "[UNK]"


BERT_TOKENS = SpecialTokens()


def read_lines(path: Path) -> list[str]:
    """The tokens of a vocabulary file, one a line. Raises StartError."""
    try:
        content = path.read_bytes()
        refuse_pointer(path, content)
        text = content.decode("utf-8")
    except ValueError as error:
        raise StartError(f"{path} is not UTF-8 ({error}): copy the file again") from error
    lines = text.split("\n")  # not splitlines(): vocabularies hold U+2028 and its like as tokens
    if not lines[-1]:
        lines.pop()
    return [line.strip() for line in lines]


def word_piece(
    tokens: Sequence[str],
    normalization: Normalization,
    special: SpecialTokens = BERT_TOKENS,
    *,
    as_roberta: bool = False,
) -> Parts:
    """A pipeline that cuts as Google's BERT does, for a vocabulary in the order of its ids.

    It has no added tokens: the text "[CLS]" in a sentence is three tokens, as with Google's code. `as_roberta`: two
    separators stand between the texts of a pair. Raises StartError if a special token is missing.
    """
    ids = _unique(tokens)
    _check_special(ids, special)
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
        "post_processor": _around(ids, special, as_roberta=as_roberta),
        "decoder": None,
        "model": {
            "type": "WordPiece",
            "unk_token": special.unk,
            "continuing_subword_prefix": "##",
            "max_input_chars_per_word": LONGEST_WORD,
            "vocab": ids,
        },
    }


def byte_pairs(ids: dict[str, int], merges: Sequence[str], special: SpecialTokens, *, space_first: bool) -> Parts:
    """A pipeline that cuts as RoBERTa does: pairs of bytes are joined in the order of `merges`."""
    _check_special(ids, special)
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [],
        "normalizer": None,
        "pre_tokenizer": {
            "type": "ByteLevel", "add_prefix_space": space_first, "trim_offsets": True, "use_regex": True,
        },
        "post_processor": _around(ids, special, as_roberta=True),
        "decoder": None,
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": "",
            "end_of_word_suffix": "",
            "fuse_unk": False,
            "byte_fallback": False,
            "vocab": ids,
            "merges": list(merges),
        },
    }  # fmt: skip


def _check_special(ids: dict[str, int], special: SpecialTokens) -> None:
    for token in (special.cls, special.sep, special.unk):
        if token not in ids:
            raise StartError(f"the vocabulary has no {token}: it is another model's vocabulary")


def _around(ids: dict[str, int], special: SpecialTokens, *, as_roberta: bool) -> dict[str, Any]:
    sides = {"sep": [special.sep, ids[special.sep]], "cls": [special.cls, ids[special.cls]]}
    if as_roberta:
        return {"type": "RobertaProcessing", **sides, "trim_offsets": True, "add_prefix_space": False}
    return {"type": "BertProcessing", **sides}


def _unique(tokens: Sequence[str]) -> dict[str, int]:
    """Ids by token. Of a token that is there twice the last one counts; the others get blanks, which no word has."""
    ids: dict[str, int] = {}
    for index in reversed(range(len(tokens))):
        name = tokens[index]
        while name in ids:
            name += " "
        ids[name] = index
    return dict(reversed(ids.items()))
