"""Text to WordPiece ids, as Google's BERT cuts it, by the package `tokenizers`, which releases the GIL. No TensorFlow.

The tokenizer has no added tokens on purpose: the text "[CLS]" in a sentence is three tokens, as with Google's code.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

from bert_serving.server.config import ServerConfig
from bert_serving.server.engine.long_texts import LONGEST_WORD, LongTexts
from bert_serving.server.engine.model_folder import ModelFolder, WeightFormat, read_json
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


@dataclass(frozen=True)
class Vocabulary:
    """All that a tokenizer is made of: the tokens in the order of their ids, and what becomes of a text before."""

    tokens: list[str]
    normalization: Normalization


class TextTokenizer:
    """Ids of texts and tokens, and the tokens of ids."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        """StartError if a special token is missing."""
        os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")  # its threads would fight with the compute lanes
        self._tokens = vocabulary.tokens
        self._ids = {token: index for index, token in enumerate(self._tokens)}
        for token in (CLS, SEP, UNK):
            if token not in self._ids:
                raise StartError(f"the vocabulary has no {token}: it is not that of a BERT model")
        self.cls, self.sep, self.unk = self._ids[CLS], self._ids[SEP], self._ids[UNK]
        self._tokenizer = _word_piece(self._ids, vocabulary.normalization)
        # the fast way keeps no offsets, which nobody reads here; versions before 0.20 lack it
        self._encode = getattr(self._tokenizer, "encode_batch_fast", self._tokenizer.encode_batch)
        self._long_texts = self._cutter(vocabulary.normalization)

    def _cutter(self, normalization: Normalization) -> LongTexts:
        """What reads no more of a text than it needs."""
        plain = Tokenizer(self._tokenizer.model)
        plain.pre_tokenizer = self._tokenizer.pre_tokenizer
        return LongTexts(
            self.encode,
            lambda normalized: plain.encode(normalized, add_special_tokens=False).ids,
            self._tokenizer.normalizer,
            plain.pre_tokenizer,
            space_chinese=normalization.space_chinese,
        )

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """The ids of each text, without special tokens. The texts must be valid Unicode."""
        if not texts:
            return []
        return [encoding.ids for encoding in self._encode(list(texts), add_special_tokens=False)]

    def first_ids(self, texts: Sequence[str], number: int) -> list[list[int]]:
        """The first `number` ids of each text, as `encode` gives them; what a long one has beyond is not read."""
        return self._long_texts.first_ids(texts, number)

    @property
    def size(self) -> int:
        """How many tokens the vocabulary has."""
        return len(self._tokens)

    def ids(self, tokens: Sequence[str]) -> list[int]:
        """The ids of ready tokens; one that the vocabulary lacks becomes [UNK]."""
        return [self._ids.get(token, self.unk) for token in tokens]

    def tokens(self, ids: Sequence[int]) -> list[str]:
        """The tokens of ids."""
        return [self._tokens[index] for index in ids]


def load_tokenizer(config: ServerConfig, model: ModelFolder) -> TextTokenizer:
    """The tokenizer of a model; StartError as `find_vocabulary`."""
    return TextTokenizer(find_vocabulary(config, model))


def find_vocabulary(config: ServerConfig, model: ModelFolder) -> Vocabulary:
    """The vocabulary of a model; StartError that names the file if it is missing or does not fit."""
    normalization = _normalization(model)
    if config.cased_tokenization:
        normalization = replace(normalization, lowercase=False, strip_accents=False)
    return Vocabulary(read_vocabulary(model), normalization)


def read_vocabulary(model: ModelFolder) -> list[str]:
    """All tokens, in the order of their ids, from vocab.txt or tokenizer.json."""
    plain, fast = model.tokenizer_folder / "vocab.txt", model.tokenizer_folder / "tokenizer.json"
    if plain.is_file():
        path, tokens = plain, _read_lines(plain)
    elif fast.is_file() and model.format is WeightFormat.HUGGING_FACE:
        path, tokens = fast, _read_fast_vocabulary(fast)
    else:
        raise StartError(f"{plain} is missing: the vocabulary is expected there, one token a line")
    if not _fits(len(tokens), model):
        raise StartError(
            f"{path} has {len(tokens)} tokens, but vocab_size is {model.shape.vocab}: it is another model's vocabulary"
        )
    return tokens


def _fits(count: int, model: ModelFolder) -> bool:
    spare = model.shape.vocab - count
    padded = model.format is WeightFormat.HUGGING_FACE and model.shape.vocab % _PADDED_TO == 0
    return spare == 0 or (padded and 0 < spare < 2 * _PADDED_TO)


def _read_lines(path: Path) -> list[str]:
    try:
        text = path.read_bytes().decode("utf-8")
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


def _word_piece(ids: dict[str, int], normalization: Normalization) -> Tokenizer:
    tokenizer = Tokenizer(models.WordPiece(ids, unk_token=UNK, max_input_chars_per_word=LONGEST_WORD))
    tokenizer.normalizer = normalizers.BertNormalizer(
        clean_text=normalization.clean,
        handle_chinese_chars=normalization.space_chinese,
        strip_accents=normalization.strip_accents,
        lowercase=normalization.lowercase,
    )
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    return tokenizer
