"""Whether the options fit the model, after its folder's suggestions were applied. No TensorFlow."""

from __future__ import annotations

import logging

from bert_serving.server.config import ServerConfig
from bert_serving.server.engine.cpu import has_products
from bert_serving.server.engine.int8_products import NO_CPU
from bert_serving.server.engine.model_folder import ModelFolder
from bert_serving.server.errors import ConfigError
from bert_serving.server.poolings import STRATEGIES, Needs, PoolingStrategy
from bert_serving.server.wanted import default_view, pooled_width

log = logging.getLogger(__name__)


def check_options(config: ServerConfig, model: ModelFolder) -> None:
    """Raises ConfigError for an option that does not fit; warns of prompts that nobody asks for."""
    shape = model.shape
    if config.max_seq_len is not None and config.max_seq_len > shape.positions:
        raise ConfigError(
            f"-max_seq_len {config.max_seq_len} is above the model's max_position_embeddings {shape.positions}: "
            f"give at most {shape.positions}"
        )
    deepest = min(config.pooling_layer)
    if deepest < -shape.layers:
        raise ConfigError(f"-pooling_layer {deepest} is below the model's first layer, which is {-shape.layers}")
    if config.no_position_embeddings and (shape.first_position is None or shape.relative):
        raise ConfigError(
            f"-no_position_embeddings makes no sense with {model.architecture.name}, whose attention depends on "
            "positions: omit it"
        )
    if config.dtype == "int8" and not has_products("int8"):
        raise ConfigError(NO_CPU)
    _check_strategy(config, model)
    _check_dense(config)
    _check_prompt(config)


def _check_strategy(config: ServerConfig, model: ModelFolder) -> None:
    strategy, needs = config.pooling_strategy, STRATEGIES[config.pooling_strategy].needs
    if needs is Needs.POOLER and not model.shape.has_pooler:
        raise ConfigError(
            f"-pooling_strategy {strategy.name} needs a pooler, but {model.architecture.name} has none: "
            "FIRST_TOKEN comes closest"
        )
    if needs is not Needs.HEAD:
        return
    if config.normalize:
        raise ConfigError(f"-normalize makes no sense with {strategy.name}: omit it")
    if strategy is PoolingStrategy.CLASSIFICATION and len(model.labels) == 1 and "num_labels" not in config.given:
        raise ConfigError("-pooling_strategy CLASSIFICATION gives 1 for each text with a single label: use REGRESSION")
    if strategy is PoolingStrategy.REGRESSION and len(model.labels) > 1:
        raise ConfigError(
            f"-pooling_strategy REGRESSION needs a model with one label, and this one has {len(model.labels)}: use "
            "CLASSIFICATION or LOGITS"
        )


def _check_prompt(config: ServerConfig) -> None:
    names = dict(config.prompts)
    if config.prompt and config.prompt not in names:
        known = f"it has only {', '.join(names)}" if names else "it has none at all"
        raise ConfigError(f"-prompt {config.prompt}: the model has no such prompt; {known}")
    if config.prompt is None and (usable := [name for name, text in config.prompts if text]):
        log.warning(
            "this model has prompts (%s), but none is used: give -prompt NAME, or -prompt '' if that is intended",
            ", ".join(usable),
        )


def _check_dense(config: ServerConfig) -> None:
    """What comes out of pooling must be what the folder's dense layers take."""
    view, dense = default_view(config), config.facts.dense
    if not dense or not view.is_pooled or view.needs is Needs.HEAD:
        return
    if dense[0] != (width := pooled_width(config, view)):
        asked = f"-pooling_strategy {view.names} -pooling_layer {' '.join(map(str, config.pooling_layer))}"
        raise ConfigError(
            f"{asked} makes vectors of {width} numbers, but the Dense of this folder takes {dense[0]}: omit "
            "these options"
        )
