"""One hash of all that shapes vectors: weights, tokenizer, architecture and options. No TensorFlow.

Two servers with the same fingerprint give compatible vectors, whatever machine they run on and wherever their files
are. It does not cover rounding: `-cpu`, `-xla` and the kind of CPU change only the last digits. Values at their
defaults are left out, so that an option or a size that a later version adds does not change a fingerprint.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from typing import Any

from bert_serving.server.config import ServerConfig
from bert_serving.server.engine.architectures.base import EncoderShape
from bert_serving.server.engine.file_hashes import sha256_of
from bert_serving.server.engine.model_folder import ModelFolder
from bert_serving.server.engine.pooling import extent_of
from bert_serving.server.engine.tokenizer_files import find_pipeline
from bert_serving.server.poolings import STRATEGIES, Needs, PoolingStrategy
from bert_serving.server.wanted import PooledView, Wanted, config_with

_HEX_DIGITS = 32


@dataclass(frozen=True)
class ModelContent:
    """What a model is, wherever it is stored. `weights` has the SHA-256 of each of its files."""

    architecture: str
    shape: EncoderShape
    pipeline: str
    weights: tuple[str, ...]

    @staticmethod
    def of(config: ServerConfig, model: ModelFolder) -> ModelContent:
        """Reads all files of the model, or trusts hashes of an earlier start. Raises StartError that names a file."""
        weights = tuple(sha256_of(path) for path in model.weight_files())
        return ModelContent(model.architecture.name, model.shape, find_pipeline(config, model), weights)

    def fingerprint(self, config: ServerConfig, dtype: str) -> str:
        """In hex; `dtype` is that of the matrix products, as it was resolved."""
        return self._with({**_effective(config, self.shape), "dtype": dtype})

    def fingerprint_with(self, config: ServerConfig, dtype: str, wanted: Wanted) -> str:
        """That of a server which was started with the options of a request; of several views, a hash of theirs."""
        each = [self._with({**_of_view(config, self.shape, wanted, view), "dtype": dtype}) for view in wanted.views]
        return each[0] if len(each) == 1 else _shortened(hashlib.sha256(json.dumps(each).encode()))

    def _with(self, options: dict[str, Any]) -> str:
        """Of the JSON of a list: this content, and the options."""
        digest = self._begun.copy()
        digest.update(json.dumps(options, sort_keys=True).encode() + b"]")
        return _shortened(digest)

    @cached_property
    def _begun(self) -> Any:
        """The hash up to the options: a tokenizer may have megabytes."""
        content = {**asdict(self), "shape": _not_at_default(self.shape)}
        return hashlib.sha256(f"[{json.dumps(content, sort_keys=True)}, ".encode())


def _shortened(digest: Any) -> str:
    text: str = digest.hexdigest()
    return text[:_HEX_DIGITS]


def _of_view(config: ServerConfig, shape: EncoderShape, wanted: Wanted, view: PooledView) -> dict[str, Any]:
    """What shapes the vectors of a view that a request asks for."""
    options = _effective(config_with(config, view), shape)
    options.pop("prompt", None)
    if wanted.texts.prompt:
        options["prompt"] = [wanted.texts.prompt, config.include_prompt]
    if view.dimensions is not None:
        options["dimensions"] = view.dimensions
    if wanted.texts.truncate in ("left", "chunks"):
        options["truncate"] = wanted.texts.truncate
    return options


def _effective(config: ServerConfig, shape: EncoderShape) -> dict[str, Any]:
    """The options that shape vectors, without those that have no say in the vectors of this config."""
    options = config.vector_options()
    for name in ("cased_tokenization", "special_tokens"):
        options.pop(name, None)  # the pipeline has what came of it
    options["num_labels"] = extent_of(config, shape).labels
    options.pop("prompt", None)  # its text counts, not its name
    if config.prompt_text:
        options["prompt"] = [config.prompt_text, config.include_prompt]
    if config.pooled_beside:
        options["pooled_beside"] = list(config.pooled_beside)
    if STRATEGIES[config.pooling_strategy].needs is not Needs.TOKENS:
        options.pop("pooling_layer", None)
    if config.pooling_strategy is not PoolingStrategy.NONE:  # else it is the T of `[B, T, D]`, too
        options["max_seq_len"] = config.max_seq_len or shape.positions
    return options


def _not_at_default(shape: EncoderShape) -> dict[str, Any]:
    values = asdict(shape)
    return {one.name: values[one.name] for one in fields(shape) if getattr(shape, one.name) != one.default}
