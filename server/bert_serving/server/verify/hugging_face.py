"""BERT by Hugging Face's `transformers` and torch, which share neither loader nor tokenizer with the server.

Both packages are optional, slow to import and without types, so they are imported here when an encoder is made.
"""

from __future__ import annotations

import importlib
import json
from functools import cached_property
from importlib.metadata import version
from importlib.util import find_spec
from typing import Any

import numpy as np

from bert_serving.server.config import PoolingStrategy, ServerConfig
from bert_serving.server.engine.contract import FloatArray
from bert_serving.server.engine.model_folder import ModelFolder
from bert_serving.server.engine.tensors import first_line
from bert_serving.server.errors import ServiceError
from bert_serving.server.verify.pooling import EncodedText, answer, num_labels

_PACKAGES = ("transformers", "torch")
_SPECIAL_OF_ONE, _SPECIAL_OF_PAIR = 2, 3


def is_installed() -> bool:
    """Whether both packages are there, without importing them."""
    return all(find_spec(name) is not None for name in _PACKAGES)


class TransformersEncoder:
    """A `reference.Encoder`."""

    def __init__(self, config: ServerConfig, model: ModelFolder) -> None:
        """Loads the model's folder in float32. Raises ServiceError if the packages or the folder do not load."""
        self._config, self._head = config, model.shape.head
        self._labels = num_labels(config)
        self._has_pooler = config.pooling_strategy is PoolingStrategy.CLS_POOLED
        self._mask_cls_sep = config.mask_cls_sep
        self._limit = config.max_seq_len or model.shape.positions
        self._second_type = min(1, model.shape.types - 1)
        self._lowercase = _sentence_folder_lowercases(model) and not config.cased_tokenization
        try:
            self._torch = importlib.import_module("torch")
            transformers: Any = importlib.import_module("transformers")
            transformers.logging.set_verbosity_error()
            transformers.logging.disable_progress_bar()
            self._tokenizer = _load_tokenizer(transformers, config, model)
            self._bert = _load_model(transformers, config, model)
        except Exception as error:  # whatever two large libraries raise
            raise ServiceError(
                f"transformers cannot load {model.folder} ({first_line(error)}): repair that, or uninstall "
                "transformers to compare with NumPy"
            ) from error

    @property
    def name(self) -> str:
        """With the versions of both."""
        packages = " and ".join(f"{name} {version(name)}" for name in _PACKAGES)
        return f"{packages}, float32; they share neither loader nor tokenizer with the server"

    def encode(self, text: str) -> EncodedText:
        """`[CLS] a [SEP]`, or `[CLS] a [SEP] b [SEP]` for "a ||| b", as run_classifier.py of Google's BERT has it."""
        ids, types, visible = self._features(text)
        torch = self._torch
        with torch.no_grad():
            output = self._bert(
                input_ids=torch.tensor([ids]),
                token_type_ids=torch.tensor([types]),
                attention_mask=torch.tensor([visible], dtype=torch.long),
                output_hidden_states=True,
            )
        hidden = output.hidden_states  # those of the embeddings, then those of each layer
        layers = {number: hidden[number][0].numpy() for number in range(1 - len(hidden), 0)}  # (T, H) each
        return EncodedText(layers, np.array(visible), self._top(output), self._left_out)

    def _top(self, output: Any) -> FloatArray:
        if self._labels:
            return answer(self._config, self._head, np.asarray(output.logits[0]))  # (L,)
        return np.asarray(output.pooler_output[0]) if self._has_pooler else np.zeros(0)  # (H,)

    @cached_property
    def _left_out(self) -> int:
        """How many tokens pooling leaves out: [CLS] and those of a prompt that is not included."""
        if self._config.include_prompt or not self._config.prompt_text:
            return 0
        return 1 + min(len(self._ids(self._config.prompt_text)), self._limit - _SPECIAL_OF_ONE)

    def _features(self, text: str) -> tuple[list[int], list[int], list[bool]]:
        """Ids, type ids, and whether attention and pooling see the token."""
        first, second = self._sides(text)
        cls, sep = self._tokenizer.cls_token_id, self._tokenizer.sep_token_id
        ids = [cls, *first, sep, *second, *([sep] if second else [])]
        types = [0] * (len(first) + 2) + [self._second_type] * (len(ids) - len(first) - 2)
        special = {0, len(first) + 1, len(ids) - 1} if self._mask_cls_sep else set()
        return ids, types, [place not in special for place in range(len(ids))]

    def _sides(self, text: str) -> tuple[list[int], list[int]]:
        """Ids of both texts, or of one and none: the longer one loses a token until they fit, the second on a tie."""
        left, separator, right = text.strip().rpartition(" ||| ")
        prompt = self._config.prompt_text
        first, second = (self._ids(prompt + left), self._ids(right)) if separator else (self._ids(prompt + right), [])
        room = self._limit - (_SPECIAL_OF_PAIR if second else _SPECIAL_OF_ONE)
        while len(first) + len(second) > room:
            (first if len(first) > len(second) else second).pop()
        return first, second

    def _ids(self, text: str) -> list[int]:
        return list(self._tokenizer(text.lower() if self._lowercase else text, add_special_tokens=False)["input_ids"])


def _load_tokenizer(transformers: Any, config: ServerConfig, model: ModelFolder) -> Any:
    cased = {"do_lower_case": False, "strip_accents": False} if config.cased_tokenization else {}
    return transformers.AutoTokenizer.from_pretrained(model.tokenizer_folder, local_files_only=True, **cased)


def _load_model(transformers: Any, config: ServerConfig, model: ModelFolder) -> Any:
    settings = transformers.AutoConfig.from_pretrained(model.folder, local_files_only=True)
    kind = transformers.AutoModel
    if labels := num_labels(config):
        kind, settings.num_labels = transformers.AutoModelForSequenceClassification, labels
    loaded = kind.from_pretrained(
        model.weights[0].parent,
        config=settings,
        local_files_only=True,
        use_safetensors=True,  # the other kind is a pickle, which can run code
    )
    if config.no_position_embeddings:
        loaded.base_model.embeddings.position_embeddings.weight.data.zero_()
    return loaded.float().eval()


def _sentence_folder_lowercases(model: ModelFolder) -> bool:
    """sentence-transformers lowercases texts itself where this file says so."""
    path = model.folder / "sentence_bert_config.json"
    return path.is_file() and bool(json.loads(path.read_text("utf-8")).get("do_lower_case"))
