"""Text to token ids, by the package `tokenizers`, which releases the interpreter lock. No TensorFlow."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence

from tokenizers import Tokenizer

from bert_serving.server.config import ServerConfig
from bert_serving.server.engine.long_texts import LongTexts
from bert_serving.server.engine.model_folder import ModelFolder
from bert_serving.server.engine.tokenizer_files import find_pipeline


class TextTokenizer:
    """Ids of texts and tokens, and the tokens of ids."""

    def __init__(self, pipeline: str) -> None:
        """`pipeline` is the JSON of `tokenizer_files.find_pipeline`."""
        os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")  # its threads would fight with the compute lanes
        self._tokenizer = Tokenizer.from_str(pipeline)
        self._ids: dict[str, int] = self._tokenizer.get_vocab()
        self._tokens = [token.rstrip(" ") for token in sorted(self._ids, key=self._ids.__getitem__)]
        parts = json.loads(pipeline)
        self.cls, self.sep = (parts["post_processor"][name][1] for name in ("cls", "sep"))
        self.unk = self._ids[parts["model"]["unk_token"]]
        # the fast way keeps no offsets, which nobody reads here; versions before 0.20 lack it
        self._encode = getattr(self._tokenizer, "encode_batch_fast", self._tokenizer.encode_batch)
        self._long_texts = self._cutter(space_chinese=parts["normalizer"]["handle_chinese_chars"])

    def _cutter(self, *, space_chinese: bool) -> LongTexts:
        """What reads no more of a text than it needs."""
        plain = Tokenizer(self._tokenizer.model)
        plain.pre_tokenizer = self._tokenizer.pre_tokenizer
        return LongTexts(
            self.encode,
            lambda normalized: plain.encode(normalized, add_special_tokens=False).ids,
            self._tokenizer.normalizer,
            plain.pre_tokenizer,
            space_chinese=space_chinese,
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
        """The ids of ready tokens; one that the vocabulary lacks becomes the unknown one."""
        return [self._ids.get(token, self.unk) for token in tokens]

    def tokens(self, ids: Sequence[int]) -> list[str]:
        """The tokens of ids."""
        return [self._tokens[index] for index in ids]


def load_tokenizer(config: ServerConfig, model: ModelFolder) -> TextTokenizer:
    """The tokenizer of a model; StartError as `find_pipeline`."""
    return TextTokenizer(find_pipeline(config, model))
