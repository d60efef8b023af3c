"""What a sentence-transformers folder says of itself: pooling, length and normalisation become defaults. No TensorFlow.

Such a folder lists its modules in `modules.json`: a Transformer first, then Pooling and perhaps Normalize.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bert_serving.server.config import PoolingStrategy, ServerConfig
from bert_serving.server.engine.model_folder import ModelFolder, read_json
from bert_serving.server.engine.pooling import STRATEGIES, Needs
from bert_serving.server.errors import StartError

_logger = logging.getLogger(__name__)

_MODES = {one.folder_mode: strategy for strategy, one in STRATEGIES.items() if one.folder_mode}
_OLD_MODES = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}


def with_folder_defaults(config: ServerConfig, model: ModelFolder) -> ServerConfig:
    """The config with what the folder suggests; what somebody gave wins. StartError for modules that we lack."""
    if not (Path(config.model_dir) / "modules.json").is_file():
        return config
    suggested = _suggestions(Path(config.model_dir), model)
    used = {name: value for name, value in suggested.items() if name not in config.given}
    strategy = used.get("pooling_strategy", config.pooling_strategy)
    if config.no_normalize or strategy is PoolingStrategy.NONE or STRATEGIES[strategy].needs is Needs.HEAD:
        used.pop("normalize", None)  # its Normalize is meant for sentence vectors
    if used:
        shown = " ".join(f"-{name}{_shown(value)}" for name, value in used.items())
        _logger.info("the sentence-transformers folder sets %s", shown)
    return config.with_model_defaults(**used)


def _shown(value: Any) -> str:
    """An option's value as on the command line; a switch has none."""
    if value is True:
        return ""
    if isinstance(value, PoolingStrategy):
        return f" {value.name}"
    return f" {' '.join(map(str, value))}" if isinstance(value, tuple) else f" {value}"


def _suggestions(top: Path, model: ModelFolder) -> dict[str, Any]:
    """Names and values of options; reads every module in turn."""
    suggested: dict[str, Any] = {}
    for position, module in enumerate(read_json(top / "modules.json", list)):
        kind = str(module.get("type", "")).rpartition(".")[2] if isinstance(module, dict) else "?"
        if kind == "Transformer" and position == 0:
            suggested["max_seq_len"] = _length(model)
        elif kind == "Pooling" and position == 1:
            suggested["pooling_strategy"] = _strategy(top / module.get("path", "") / "config.json")
            suggested["pooling_layer"] = (-1,)
        elif kind == "Normalize" and position == 2:
            suggested["normalize"] = True
        else:
            raise StartError(
                f"{top / 'modules.json'}: module {position} is {kind}, which cannot be served: "
                "only Transformer, Pooling and Normalize in this order can"
            )
    return suggested


def _length(model: ModelFolder) -> int:
    path = model.folder / "sentence_bert_config.json"
    length = read_json(path).get("max_seq_length") if path.is_file() else None
    if length is None:
        return model.shape.positions
    if isinstance(length, bool) or not isinstance(length, int) or length <= 3:
        raise StartError(f"{path}: max_seq_length must be a whole number above 3, not {json.dumps(length)}")
    return min(length, model.shape.positions)


def _strategy(path: Path) -> PoolingStrategy:
    modes = _modes(read_json(path))
    if len(modes) != 1 or modes[0] not in _MODES:
        known = ", ".join(_MODES)
        raise StartError(
            f"{path}: pooling by {' and '.join(modes) or 'nothing'} cannot be served, only by one of {known}"
        )
    return _MODES[modes[0]]


def _modes(values: Mapping[str, Any]) -> list[str]:
    """The ways of pooling that a Pooling module names, in its new or in its old manner."""
    modes = values.get("pooling_mode")
    if modes is None:
        return [mode for name, mode in _OLD_MODES.items() if values.get(name)]
    return [str(mode) for mode in modes] if isinstance(modes, list) else [str(modes)]
