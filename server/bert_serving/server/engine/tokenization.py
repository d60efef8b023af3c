"""Texts to token ids, with the package `tokenizers`, which releases the interpreter lock. No TensorFlow."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from typing import Any

from tokenizers import Tokenizer

from bert_serving.server.config import ServerConfig
from bert_serving.server.engine.long_texts import LongTexts
from bert_serving.server.engine.model_folder import ModelFolder
from bert_serving.server.engine.pipeline import Pipeline
from bert_serving.server.engine.prefixes import Prefixes, ends_words
from bert_serving.server.engine.template import Template, templates_of
from bert_serving.server.engine.tokenizer_files import find_pipeline

FirstIds = Callable[[Sequence[str], int], list[list[int]]]


class UnknownToken(ValueError):
    """A token that is not in the vocabulary, and no unknown token to replace it."""


class TextTokenizer:
    """Ids of texts and tokens, and the tokens of ids."""

    single: Template
    """The special tokens around one text."""
    pair: Template
    """Those of a pair."""

    def __init__(self, pipeline: str) -> None:
        """`pipeline` is what `tokenizer_files.find_pipeline` returns."""
        os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")  # its threads would fight with the compute lanes
        parts = Pipeline.of(pipeline)
        self._tokenizer = Tokenizer.from_str(parts.tokenizer)
        self._tokenizer.encode_special_tokens = parts.special_as_text
        self.unk = parts.unknown
        self.library_pairs = parts.library_pairs
        self.single, self.pair = templates_of(self._tokenizer)
        used = set(self._tokenizer.get_vocab().values())
        self.size = max(used) + 1
        """One more than the highest id."""
        self._gaps = frozenset(range(self.size)) - used
        # the fast way keeps no offsets, which nobody reads here; versions before 0.20 lack it
        self._encode = getattr(self._tokenizer, "encode_batch_fast", self._tokenizer.encode_batch)
        self._first_ids = self._reader()

    def _reader(self) -> FirstIds:
        """What reads no more of a text than it needs, where that is known to give the same ids."""
        normalizer, pre_tokenizer = _state(self._tokenizer.normalizer), _state(self._tokenizer.pre_tokenizer)
        added = self._tokenizer.get_added_tokens_decoder().values()
        kinds = (normalizer.get("type"), pre_tokenizer.get("type"), type(self._tokenizer.model).__name__)
        if kinds == ("BertNormalizer", "BertPreTokenizer", "WordPiece") and LongTexts.heeds(added):
            self._long_texts = self._cutter(normalizer, [token.content for token in added])
            return self._long_texts.first_ids
        if ends_words(normalizer, pre_tokenizer, added):
            return Prefixes(self.encode, self._tokenizer.normalizer).first_ids
        return self._whole

    def _cutter(self, normalizer: dict[str, Any], added: list[str]) -> LongTexts:
        plain = Tokenizer(self._tokenizer.model)
        plain.pre_tokenizer = self._tokenizer.pre_tokenizer
        return LongTexts(
            self.encode,
            lambda normalized: plain.encode(normalized, add_special_tokens=False).ids,
            self._tokenizer.normalizer,
            plain.pre_tokenizer,
            space_chinese=normalizer["handle_chinese_chars"],
            longest_word=self._tokenizer.model.max_input_chars_per_word,
            added=added,
        )

    def _whole(self, texts: Sequence[str], number: int) -> list[list[int]]:
        return [ids[:number] for ids in self.encode(texts)]

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """The ids of each text, without special tokens. The texts must be valid Unicode."""
        if not texts:
            return []
        return [encoding.ids for encoding in self._encode(list(texts), add_special_tokens=False)]

    def encoding(self, text: str) -> Any:
        """A `tokenizers.Encoding` of a text without special tokens: ids, offsets and words. In twice the time."""
        return self._tokenizer.encode_batch([text], add_special_tokens=False)[0]

    def first_ids(self, texts: Sequence[str], number: int) -> list[list[int]]:
        """The first `number` ids of each text, as `encode` gives them; of a long one no more is read than that needs.

        Where words cannot be told from a part of the text, all of it is read.
        """
        return self._first_ids(texts, number)

    def ids(self, tokens: Sequence[str]) -> list[int]:
        """The ids of ready tokens; one that the vocabulary lacks becomes the unknown one, or raises UnknownToken."""
        return [self._id(token) for token in tokens]

    def _id(self, token: str) -> int:
        for name in (token, token + " "):  # hidden special tokens
            index = self._tokenizer.token_to_id(name)
            if index is not None:
                return int(index)
        if self.unk is None:
            raise UnknownToken(token)
        return self.unk

    def is_token(self, index: int) -> bool:
        """Whether it is the id of a token."""
        return 0 <= index < self.size and index not in self._gaps

    @property
    def has_gaps(self) -> bool:
        """Whether some ids below `size` are no token's."""
        return bool(self._gaps)

    def tokens(self, ids: Sequence[int]) -> list[str]:
        """The tokens of ids."""
        return [self._shown(index) for index in ids]

    def _shown(self, index: int) -> str:
        token = str(self._tokenizer.id_to_token(index))
        return token.rstrip(" ") or token  # blanks at the end are ours, but where a token has nothing else


def _state(part: Any) -> dict[str, Any]:
    """What a part of the pipeline is, as in tokenizer.json."""
    if part is None:
        return {}
    state: dict[str, Any] = json.loads(part.__getstate__())
    return state


def load_tokenizer(config: ServerConfig, model: ModelFolder) -> TextTokenizer:
    """The tokenizer of a model; StartError as `find_pipeline`."""
    return TextTokenizer(find_pipeline(config, model))
