"""Token ids in the place of texts, as OpenAI's API allows: whose vocabulary they are of, and what becomes of them.

LangChain's client sends those of OpenAI's vocabulary unless it is told not to. In the vocabulary of another model they
are other words, or none: the answer would be vectors that mean nothing. So `-openai_token_ids` has to say what ids are.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bert_serving.server.gateway import cl100k
from bert_serving.server.gateway.cl100k import Vocabulary
from bert_serving.server.gateway.problems import Problem

_STEP = 1 << 14
"""Ids that are decoded in one go: some of them have more than a hundred bytes."""

REFUSED = (
    "holds token ids, and this server takes texts: ids are of the vocabulary of whoever made them, which is seldom "
    "this model's. LangChain's OpenAIEmbeddings sends texts with check_embedding_ctx_length=False. "
    "A server that is started with -openai_token_ids cl100k turns OpenAI's ids back into texts, and one with "
    "-openai_token_ids model takes ids of its model's own vocabulary"
)

AsTexts = Callable[[list[Any]], tuple[list[Any], bool]]
"""Lists of ids to what the client takes as texts, and whether they are still ids. Raises Problem."""


def reader_of(option: str, max_bytes: int) -> AsTexts:
    """What `-openai_token_ids` says of lists of ids. ConfigError if the vocabulary for it cannot be loaded.

    Texts that are made of ids have at most `max_bytes` together, as those have that come as texts.
    """
    if option == "model":
        return of_model
    return FromVocabulary(cl100k.load(), "cl100k", max_bytes) if option == "cl100k" else refused


def refused(given: list[Any]) -> tuple[list[Any], bool]:
    """Says what to do instead."""
    index, ids = next((index, one) for index, one in enumerate(given) if isinstance(one, list))
    _check_whole_numbers(ids, index)
    raise Problem(422, f"input[{index}] {REFUSED}", param="input", index=index)


def of_model(given: list[Any]) -> tuple[list[Any], bool]:
    """As they are: of the model's own vocabulary; its tokenizer refuses those that are beyond it."""
    for index, ids in enumerate(given):
        if isinstance(ids, list):
            _check_whole_numbers(ids, index)
    return given, isinstance(given[0], list)  # what is mixed the client refuses


class FromVocabulary:
    """Turns ids of that vocabulary back into texts."""

    def __init__(self, vocabulary: Vocabulary, name: str, max_bytes: int) -> None:
        self._vocabulary = vocabulary
        self._name = name
        self._max_bytes = max_bytes

    def __call__(self, given: list[Any]) -> tuple[list[Any], bool]:
        texts, size = [], 0
        for index, ids in enumerate(given):
            if not isinstance(ids, list):
                text = f"input[{index}] is no list of token ids, as others are: send texts and ids apart"
                raise Problem(422, text, param="input", index=index)
            _check_whole_numbers(ids, index)
            content = bytearray()
            for begin in range(0, len(ids), _STEP):
                content += self._decoded(ids[begin : begin + _STEP], index)
                if size + len(content) > self._max_bytes:
                    most = self._max_bytes >> 20
                    raise Problem(
                        413,
                        f"the texts of these token ids have more than {most} megabytes (-http_max_body): send fewer "
                        "at once",
                        param="input",
                        index=index,
                    )
            size += len(content)
            texts.append(self._text(content, index))
        return texts, False

    def _decoded(self, ids: list[int], index: int) -> bytes:
        try:
            return self._vocabulary.decode_bytes(ids)
        except (KeyError, OverflowError):
            strange = next(one for one in ids if not self._has(one))
            text = f"input[{index}] holds the token id {strange}, which {self._name} does not have"
            text += f": its last one is {self._vocabulary.max_token_value}"
            raise Problem(422, text, param="input", index=index) from None

    def _has(self, one: int) -> bool:
        try:
            return bool(self._vocabulary.decode_bytes([one]))
        except (KeyError, OverflowError):
            return False

    def _text(self, content: bytearray, index: int) -> str:
        try:
            return content.decode()
        except UnicodeDecodeError as error:
            text = f"the token ids of input[{index}] make no text: byte {error.start} of {len(content)} is no UTF-8. "
            text += "Who cuts a text into pieces has to do that between characters"
            raise Problem(422, text, param="input", index=index) from None


def _check_whole_numbers(ids: list[Any], index: int) -> None:
    if not all(type(number) is int for number in ids):
        raise Problem(
            422,
            f"input[{index}] must be a text: its list does not hold token ids, whole numbers, alone",
            param="input",
            index=index,
        )
