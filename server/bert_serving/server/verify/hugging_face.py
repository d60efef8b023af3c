"""An encoder by Hugging Face's `transformers` and torch, which share neither loader nor tokenizer with the server.

Both packages are optional, slow to import and without types, so they are imported here when an encoder is made.
"""

from __future__ import annotations

import importlib
from functools import cached_property
from importlib.metadata import version
from importlib.util import find_spec
from typing import Any

import numpy as np

from bert_serving.server.config import ServerConfig
from bert_serving.server.engine.contract import FloatArray
from bert_serving.server.engine.model_folder import ModelFolder
from bert_serving.server.engine.sentence_config import encoder_settings
from bert_serving.server.engine.tensors import first_line
from bert_serving.server.errors import ServiceError
from bert_serving.server.poolings import PoolingStrategy
from bert_serving.server.verify.pooling import EncodedText, answer, num_labels

_PACKAGES = ("transformers", "torch")


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
        self._limit = config.max_seq_len or model.shape.positions
        self._lowercase = bool(encoder_settings(model.folder)[1].get("do_lower_case")) and not config.cased_tokenization
        try:
            self._torch = importlib.import_module("torch")
            transformers: Any = importlib.import_module("transformers")
            transformers.logging.set_verbosity_error()
            transformers.logging.disable_progress_bar()
            self._tokenizer = _load_tokenizer(transformers, config, model)
            self._model = _load_model(transformers, config, model)
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
        """One text, or a pair for "a ||| b", with the special tokens that the library puts around them."""
        torch = self._torch
        features = dict(self._features(text))
        special = np.array(features.pop("special_tokens_mask"), bool)  # (T,)
        visible = ~special if self._config.mask_cls_sep else np.ones_like(special)  # (T,)
        features["attention_mask"] = visible.astype(np.int64)
        with torch.no_grad():
            inputs = {name: torch.tensor(np.array([values])) for name, values in features.items()}  # (1, T) each
            output = self._model(**inputs, output_hidden_states=True)
        hidden = output.hidden_states  # those of the embeddings, then those of each layer
        layers = {number: hidden[number][0].numpy() for number in range(1 - len(hidden), 0)}  # (T, H) each
        return EncodedText(layers, visible, self._top(output), self._left_out)

    def _top(self, output: Any) -> FloatArray:
        if self._labels:
            return answer(self._config, self._head, np.asarray(output.logits[0]))  # (L,)
        return np.asarray(output.pooler_output[0]) if self._has_pooler else np.zeros(0)  # (H,)

    @cached_property
    def _left_out(self) -> int:
        """How many tokens pooling leaves out: those of a prompt that is not included, and special ones before it."""
        if self._config.include_prompt or not self._config.prompt_text:
            return 0
        special = self._features("", self._config.prompt_text)["special_tokens_mask"]
        return len(special) - bool(special[-1])

    def _features(self, text: str, prompt: str | None = None) -> Any:
        """Ids, type ids if the model takes them, and which tokens are special ones."""
        prompt = self._config.prompt_text if prompt is None else prompt
        first, separator, second = ("", "", "") if "\n" in text else text.rpartition(" ||| ")
        first = prompt + (first if separator else text)
        return self._tokenizer(
            first.lower() if self._lowercase else first,
            (second.lower() if self._lowercase else second) if separator else None,
            truncation="longest_first",
            max_length=self._limit,
            return_special_tokens_mask=True,
            split_special_tokens=self._config.special_tokens == "text",
        )


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
