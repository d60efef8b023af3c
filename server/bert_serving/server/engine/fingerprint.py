"""One hash of all that shapes vectors: weights, tokenizer, architecture and options. No TensorFlow.

Two servers with the same fingerprint give vectors that go together, whatever machine they run on and wherever their
files lie. Rounding is no part of it: `-cpu`, `-xla` and the kind of CPU change the last digits alone. What is at its
default is left out, so that an option or a size which a later version adds changes no fingerprint.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, fields
from typing import Any

from bert_serving.server.config import PoolingStrategy, ServerConfig
from bert_serving.server.engine.architectures.base import EncoderShape
from bert_serving.server.engine.file_hashes import sha256_of
from bert_serving.server.engine.model_folder import ModelFolder
from bert_serving.server.engine.pooling import STRATEGIES, Needs, extent_of
from bert_serving.server.engine.tokenizer_files import find_pipeline

_HEX_DIGITS = 32


@dataclass(frozen=True)
class ModelContent:
    """What a model is, wherever it lies. `weights` has the SHA-256 of each of its files."""

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
        content = {**asdict(self), "shape": _not_at_default(self.shape)}
        options = {**_effective(config, self.shape), "dtype": dtype}
        text = json.dumps([content, options], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:_HEX_DIGITS]


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
