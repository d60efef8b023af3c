"""The tokenizer of a model folder: from its files to the JSON of a `tokenizers` pipeline. No TensorFlow.

That JSON is all that `tokenization.py` needs: it travels to the workers, and is a part of the model's fingerprint.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bert_serving.server.config import ServerConfig
from bert_serving.server.engine.long_texts import LONGEST_WORD
from bert_serving.server.engine.model_files import read_json, refuse_pointer
from bert_serving.server.engine.model_folder import ModelFolder, WeightFormat
from bert_serving.server.errors import StartError

CLS, SEP, UNK = "[CLS]", "[SEP]", "[UNK]"
_PADDED_TO = 64  # some Hugging Face models round the embedding table up to a multiple of this


@dataclass(frozen=True)
class Normalization:
    """How text is cleaned before it is cut. `strip_accents` None: as `lowercase` says."""

    lowercase: bool = True
    strip_accents: bool | None = None
    space_chinese: bool = True
    clean: bool = True


def find_pipeline(config: ServerConfig, model: ModelFolder) -> str:
    """The tokenizer of a model, as the JSON of a `tokenizers` pipeline.

    Raises:
        StartError: a file is missing, broken, or does not fit; it is named.
    """
    normalization = _normalization(model)
    if config.cased_tokenization:
        normalization = replace(normalization, lowercase=False, strip_accents=False)
    return word_piece(_vocabulary(model), normalization)


def _vocabulary(model: ModelFolder) -> list[str]:
    """All tokens, in the order of their ids, from vocab.txt or tokenizer.json."""
    plain, fast = model.tokenizer_folder / "vocab.txt", model.tokenizer_folder / "tokenizer.json"
    if plain.is_file():
        path, tokens = plain, _read_lines(plain)
    elif fast.is_file() and model.format is WeightFormat.HUGGING_FACE:
        path, tokens = fast, _read_fast_vocabulary(fast)
    else:
        raise StartError(f"{plain} is missing: the vocabulary is expected there, one token a line")
    if not _fits(len(tokens), model):
        cure = "it is another model's vocabulary"
        blank = [number for number, token in enumerate(tokens, 1) if not token]
        if blank and _fits(len(tokens) - len(blank), model):
            cure = f"it has {len(blank)} blank lines more, the first is line {blank[0]}; take them out"
        raise StartError(f"{path} has {len(tokens)} tokens, but vocab_size is {model.shape.vocab}: {cure}")
    return tokens


def _fits(count: int, model: ModelFolder) -> bool:
    spare = model.shape.vocab - count
    padded = model.format is WeightFormat.HUGGING_FACE and model.shape.vocab % _PADDED_TO == 0
    return spare == 0 or (padded and 0 < spare < 2 * _PADDED_TO)


def _read_lines(path: Path) -> list[str]:
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


def _read_fast_vocabulary(path: Path) -> list[str]:
    content = read_json(path)
    model = content.get("model")
    kind = _kind(model)
    if kind != "WordPiece":
        raise StartError(f"{path} holds a {kind} tokenizer, and only WordPiece can be served: use a BERT model")
    ids = {**model.get("vocab", {}), **{part["content"]: part["id"] for part in content.get("added_tokens", ())}}
    tokens = sorted(ids, key=ids.__getitem__)
    if [ids[token] for token in tokens] != list(range(len(tokens))):
        raise StartError(f"{path}: the ids of the vocabulary do not count from 0 without a gap: copy the file again")
    return tokens


def _kind(part: Any) -> str:
    """The type of one part of tokenizer.json; old WordPiece models do not say theirs."""
    if not isinstance(part, dict):
        return "nameless"
    return str(part.get("type", "WordPiece" if "continuing_subword_prefix" in part else "nameless"))


# -- normalization ----------------------------------------------------------------------------------------------------


def _normalization(model: ModelFolder) -> Normalization:
    """What the folder's files say: tokenizer_config.json before tokenizer.json, as in Hugging Face's own library."""
    if model.format is WeightFormat.GOOGLE:
        return Normalization()
    folder = model.tokenizer_folder
    normalization = _fast_normalization(folder / "tokenizer.json")
    config = folder / "tokenizer_config.json"
    if config.is_file():
        values = read_json(config)
        names = {
            "do_lower_case": "lowercase",
            "strip_accents": "strip_accents",
            "tokenize_chinese_chars": "space_chinese",
        }
        normalization = replace(normalization, **{names[name]: values[name] for name in names if name in values})
    sentence = folder / "sentence_bert_config.json"
    if sentence.is_file() and read_json(sentence).get("do_lower_case"):
        normalization = replace(normalization, lowercase=True, strip_accents=bool(normalization.strip_accents))
    return normalization


def _fast_normalization(path: Path) -> Normalization:
    if not path.is_file():
        return Normalization()
    content = read_json(path)
    normalizer = content.get("normalizer")
    for part, expected in (("normalizer", "BertNormalizer"), ("pre_tokenizer", "BertPreTokenizer")):
        kind = _kind(content.get(part))
        if kind != expected:
            raise StartError(f"{path}: the {part} is {kind}, and only {expected} can be served: use a BERT model")
    return Normalization(
        lowercase=normalizer.get("lowercase", True),
        strip_accents=normalizer.get("strip_accents"),
        space_chinese=normalizer.get("handle_chinese_chars", True),
        clean=normalizer.get("clean_text", True),
    )


# -- the pipeline -----------------------------------------------------------------------------------------------------


def word_piece(tokens: Sequence[str], normalization: Normalization) -> str:
    """A pipeline that cuts as Google's BERT does, for a vocabulary in the order of its ids.

    It has no added tokens on purpose: the text "[CLS]" in a sentence is three tokens, as with Google's code.
    Raises StartError if a special token is missing.
    """
    ids = _unique(tokens)
    for token in (CLS, SEP, UNK):
        if token not in ids:
            raise StartError(f"the vocabulary has no {token}: it is not that of a BERT model")
    # written here and not by the library, whose versions might write the same pipeline in other words
    parts: dict[str, Any] = {
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
        "post_processor": {"type": "BertProcessing", "sep": [SEP, ids[SEP]], "cls": [CLS, ids[CLS]]},
        "decoder": None,
        "model": {
            "type": "WordPiece",
            "unk_token": UNK,
            "continuing_subword_prefix": "##",
            "max_input_chars_per_word": LONGEST_WORD,
            "vocab": ids,
        },
    }
    return json.dumps(parts)


def _unique(tokens: Sequence[str]) -> dict[str, int]:
    """Ids by token. Of a token that is there twice the last one counts; the others get blanks, which no word has."""
    ids: dict[str, int] = {}
    for index in reversed(range(len(tokens))):
        name = tokens[index]
        while name in ids:
            name += " "
        ids[name] = index
    return dict(reversed(ids.items()))
