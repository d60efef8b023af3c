"""Text to token ids, by the package `tokenizers`, which releases the interpreter lock. No TensorFlow."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from typing import Any

from tokenizers import Tokenizer

from bert_serving.server.config import ServerConfig
from bert_serving.server.engine.beginnings import Beginnings, breaks_at_spaces
from bert_serving.server.engine.long_texts import LONGEST_WORD, LongTexts
from bert_serving.server.engine.model_folder import ModelFolder
from bert_serving.server.engine.template import Template
from bert_serving.server.engine.tensors import first_line
from bert_serving.server.engine.tokenizer_files import Rules, find_pipeline
from bert_serving.server.errors import StartError


class TextTokenizer:
    """Ids of texts and tokens, and the tokens of ids."""

    def __init__(self, pipeline: str) -> None:
        """`pipeline` is the JSON of `tokenizer_files.find_pipeline`. StartError if the library does not take it."""
        os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")  # its threads would fight with the compute lanes
        self.rules, parts = Rules.out_of(pipeline)
        try:
            self._tokenizer = Tokenizer.from_str(json.dumps(parts))
        except Exception as error:  # the library has one kind for everything
            raise StartError(f"it is no tokenizer of the library `tokenizers`: {first_line(error)}") from error
        self._tokenizer.encode_special_tokens = self.rules.special_as_text
        self.template = Template.of(self._tokenizer)
        self._ids: dict[str, int] = self._tokenizer.get_vocab()
        self.size = max(self._ids.values()) + 1
        self._tokens = [""] * self.size
        for token, index in self._ids.items():
            self._tokens[index] = token.rstrip(" ") or token
        self.unk = _unknown(parts["model"], self._ids)
        # the fast way keeps no offsets, which nobody reads here; versions before 0.20 lack it
        self._encode = getattr(self._tokenizer, "encode_batch_fast", self._tokenizer.encode_batch)
        added = [] if self.rules.special_as_text else [one["content"] for one in parts.get("added_tokens", ())]
        self._added = tuple(added)
        self._beginnings = Beginnings(self.encode, can_part=breaks_at_spaces(parts))
        self._long_texts = self._cutter(parts) if _is_bert(parts) else None

    def _cutter(self, parts: dict[str, Any]) -> LongTexts:
        """What reads no more of a text than it needs, by the rules of BERT's words."""
        plain = Tokenizer(self._tokenizer.model)
        plain.pre_tokenizer = self._tokenizer.pre_tokenizer
        return LongTexts(
            self.encode,
            lambda normalized: plain.encode(normalized, add_special_tokens=False).ids,
            self._tokenizer.normalizer,
            plain.pre_tokenizer,
            space_chinese=parts["normalizer"]["handle_chinese_chars"],
        )

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """The ids of each text, without special tokens. The texts must be valid Unicode."""
        if not texts:
            return []
        return [encoding.ids for encoding in self._encode(list(texts), add_special_tokens=False)]

    def first_ids(self, texts: Sequence[str], number: int) -> list[list[int]]:
        """The first `number` ids of each text, as `encode` gives them; what a long one has beyond is hardly read."""
        if self._long_texts is None:
            return self._beginnings.first_ids(texts, number)
        if not any(token in text for text in texts for token in self._added):
            return self._long_texts.first_ids(texts, number)
        return [
            (self._beginnings if any(token in text for token in self._added) else self._long_texts).first_ids(
                [text], number
            )[0]
            for text in texts
        ]

    def ids(self, tokens: Sequence[str]) -> list[int] | str:
        """The ids of ready tokens; one that the vocabulary lacks becomes the unknown one, or a sentence says so."""
        if self.unk is not None:
            unknown = self.unk
            return [self._ids.get(token, unknown) for token in tokens]
        for token in tokens:
            if token not in self._ids:
                return f"the vocabulary has no token {token!r}, and none for unknown ones"
        return [self._ids[token] for token in tokens]

    def tokens(self, ids: Sequence[int]) -> list[str]:
        """The tokens of ids."""
        return [self._tokens[index] for index in ids]


def _unknown(model: dict[str, Any], ids: dict[str, int]) -> int | None:
    """The id for a token that the vocabulary lacks."""
    if model.get("unk_id") is not None:
        return int(model["unk_id"])
    return ids.get(model.get("unk_token") or "")


def _is_bert(parts: dict[str, Any]) -> bool:
    """Whether words are those of BERT, of which `LongTexts` knows where they end."""
    kinds = tuple((parts.get(name) or {}).get("type") for name in ("normalizer", "pre_tokenizer", "model"))
    plain = kinds == ("BertNormalizer", "BertPreTokenizer", "WordPiece")
    return plain and parts["model"].get("max_input_chars_per_word") == LONGEST_WORD


def load_tokenizer(config: ServerConfig, model: ModelFolder) -> TextTokenizer:
    """The tokenizer of a model. StartError as `find_pipeline`, and for ids that the model has no embedding of."""
    where = model.tokenizer_folder
    try:
        tokenizer = TextTokenizer(find_pipeline(config, model))
    except StartError as error:
        raise StartError(str(error) if str(where) in str(error) else f"{where}: its tokenizer: {error}") from error
    if tokenizer.size > model.shape.vocab:
        raise StartError(
            f"{where}: the tokenizer has ids up to {tokenizer.size - 1}, but vocab_size is {model.shape.vocab}: it is "
            "another model's tokenizer"
        )
    return tokenizer
