"""Turns the settings of a sentence-transformers folder into defaults of the options. No TensorFlow.

Its modules are read by `sentence_modules.py`, its prompts by `sentence_config.py`, its encoder's settings here.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from bert_serving.server.config import ServerConfig
from bert_serving.server.engine.architectures.base import DenseShape
from bert_serving.server.engine.model_files import read_json
from bert_serving.server.engine.model_folder import ModelFolder
from bert_serving.server.engine.pooling import dense_after
from bert_serving.server.engine.sentence_config import encoder_settings
from bert_serving.server.engine.sentence_modules import check_names
from bert_serving.server.errors import StartError
from bert_serving.server.poolings import STRATEGIES, Needs, PoolingStrategy

_logger = logging.getLogger(__name__)

_HARMLESS = ("trust_remote_code", "add_pooling_layer", "attn_implementation", "torch_dtype", "dtype")
"""Arguments of the library transformers that say how it computes, or ask for what nothing here reads."""
_ARGUMENTS = ("model_args", "model_kwargs", "tokenizer_args", "processor_kwargs", "config_args", "config_kwargs")


def _as_served(task: str, output: str, name: str) -> dict[str, Any]:
    """What can be served of a kind of model: its task, what the encoder puts out, and that under which name."""
    how = {"text": {"method": "forward", "method_output_name": output}}
    return {"transformer_task": task, "modality_config": how, "module_output_name": name, "processing_kwargs": {}}


_ENCODER = _as_served("feature-extraction", "last_hidden_state", "token_embeddings")
_CROSS_ENCODER = _as_served("sequence-classification", "logits", "scores")


def with_folder_defaults(config: ServerConfig, model: ModelFolder) -> ServerConfig:
    """The config with what the folder suggests; what somebody gave wins. StartError for what cannot be served."""
    if not (Path(config.model_dir) / "modules.json").is_file():
        return config
    _check_kind(config, model)
    used = {name: value for name, value in _suggestions(model).items() if name not in config.given}
    if "pooling_strategy" in config.given:
        used.pop("pooled_beside", None)
    strategy = used.get("pooling_strategy", config.pooling_strategy)
    if config.no_normalize or strategy is PoolingStrategy.NONE or STRATEGIES[strategy].needs is Needs.HEAD:
        used.pop("normalize", None)  # its Normalize is meant for sentence vectors
    config = config.with_model_defaults(**used)
    dense = dense_after(config.pooling_strategy, model.shape)
    parts = [*map(_shown, used, used.values()), *([f"and {' and '.join(map(_dense_shown, dense))}"] if dense else [])]
    if parts:
        _logger.info("the sentence-transformers folder sets %s", " ".join(parts))
    return replace(config, prompts=model.sentence.prompts, include_prompt=model.following.include_prompt)


def _check_kind(config: ServerConfig, model: ModelFolder) -> None:
    path = Path(config.model_dir) / "modules.json"
    pooled, sentence = bool(model.following.poolings), model.sentence
    if sentence.is_cross_encoder and pooled:
        raise StartError(f"{path} lists a Pooling, which makes no sense in a CrossEncoder: copy the model folder again")
    if not sentence.is_cross_encoder and not pooled and "pooling_strategy" not in config.given:
        raise StartError(f"{path} lists no Pooling after the Transformer: give -pooling_strategy")
    function = sentence.activation_fn
    is_free = "pooling_strategy" not in config.given
    if is_free and len(model.labels) > 1 and function and not function.endswith(".Identity"):
        about = path.with_name("config_sentence_transformers.json")
        raise StartError(
            f"{about}: activation_fn is {function}, and several labels have only torch's Identity here: give "
            "-pooling_strategy"
        )


def _shown(name: str, value: Any) -> str:
    """An option as on the command line; a switch has no value."""
    if value is True:
        return f"-{name}"
    if name == "pooled_beside":
        return f"and {' and '.join(strategy.name for strategy in value)} beside it"
    if isinstance(value, PoolingStrategy):
        return f"-{name} {value.name}"
    return f"-{name} {' '.join(map(str, value)) if isinstance(value, tuple) else value}"


def _dense_shown(dense: DenseShape) -> str:
    return f"a Dense of {dense.inputs} to {dense.outputs} with {dense.activation}"


def _suggestions(model: ModelFolder) -> dict[str, Any]:
    """Names and values of options, and of what only a folder sets."""
    following, sentence = model.following, model.sentence
    suggested: dict[str, Any] = {"max_seq_len": _length(model)}
    if sentence.default_prompt is not None:
        suggested["prompt"] = sentence.default_prompt
    if sentence.is_cross_encoder:
        suggested["pooling_strategy"] = PoolingStrategy.LOGITS if len(model.labels) > 1 else PoolingStrategy.REGRESSION
    elif following.poolings:
        suggested["pooling_strategy"], *others = following.poolings
        if others:
            suggested["pooled_beside"] = tuple(others)
        suggested["pooling_layer"] = (-1,)
    if following.normalize:
        suggested["normalize"] = True
    return suggested


def _length(model: ModelFolder) -> int:
    """How many tokens a text has at most: as the encoder's settings say, else its tokenizer, else its positions."""
    path, settings = _settings(model)
    name, length = "max_seq_length", settings.get("max_seq_length")
    tokenizer = model.tokenizer_folder / "tokenizer_config.json"
    if length is None and tokenizer.is_file():
        path, values = tokenizer, read_json(tokenizer)
        name = "max_len" if values.get("model_max_length") is None else "model_max_length"  # the former is its old name
        length = values.get(name)
    if length is None:
        return model.shape.positions
    # for "as long as you like" the library transformers writes 1e30
    if isinstance(length, bool) or not isinstance(length, (int, float)) or not length > 3 or length % 1:
        raise StartError(f"{path}: {name} must be a whole number above 3, not {json.dumps(length)}")
    return int(min(length, model.shape.positions))


def _settings(model: ModelFolder) -> tuple[Path, Mapping[str, Any]]:
    """`encoder_settings`, once all of them are found to be heeded. Raises StartError."""
    path, values = encoder_settings(model.folder)
    # unpad_inputs is about speed, and do_lower_case is read by the tokenizer
    check_names(path, values, ("max_seq_length", "do_lower_case", "unpad_inputs", *_ENCODER, *_ARGUMENTS))
    for name, served in (_CROSS_ENCODER if model.sentence.is_cross_encoder else _ENCODER).items():
        if values.get(name) not in (None, served):
            raise StartError(
                f"{path}: {name} is {json.dumps(values[name])}, but only {json.dumps(served)} can be served"
            )
    for name in _ARGUMENTS:
        arguments = values.get(name) or {}
        if not isinstance(arguments, dict):
            raise StartError(f"{path}: {name} must be a JSON object, not {json.dumps(arguments)[:100]}")
        check_names(path, arguments, _HARMLESS)
    return path, values
