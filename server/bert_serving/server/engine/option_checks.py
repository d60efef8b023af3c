"""Whether the options fit the model, once its folder's suggestions are in them. No TensorFlow."""

from __future__ import annotations

import logging

from bert_serving.server.config import PoolingStrategy, ServerConfig
from bert_serving.server.engine.architectures.base import EncoderShape
from bert_serving.server.engine.model_folder import ModelFolder
from bert_serving.server.engine.pooling import STRATEGIES, Needs, dense_after, pooled_width, pooling_names
from bert_serving.server.errors import ConfigError

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
            f"-no_position_embeddings makes no sense with {model.architecture.name}, whose attention knows positions: "
            "leave it out"
        )
    _check_strategy(config, model)
    _check_dense(config, shape)
    _check_prompt(config)


def _check_strategy(config: ServerConfig, model: ModelFolder) -> None:
    strategy, needs = config.pooling_strategy, STRATEGIES[config.pooling_strategy].needs
    if needs is Needs.POOLER and not model.shape.has_pooler:
        raise ConfigError(
            f"-pooling_strategy {strategy.name} needs a pooler, and {model.architecture.name} has none: FIRST_TOKEN is "
            "the nearest to it"
        )
    if needs is not Needs.HEAD:
        return
    if config.normalize:
        raise ConfigError(f"-normalize makes no sense with {strategy.name}: leave it out")
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
        known = f"only {', '.join(names)}" if names else "none at all"
        raise ConfigError(f"-prompt {config.prompt}: the model has no such prompt, {known}")
    if config.prompt is None and (usable := [name for name, text in config.prompts if text]):
        log.warning(
            "this model has prompts (%s), and none is put before its texts: give -prompt NAME, or -prompt '' if that "
            "is as it should be",
            ", ".join(usable),
        )


def _check_dense(config: ServerConfig, shape: EncoderShape) -> None:
    """What comes out of pooling must be what the folder's dense layers take."""
    width = pooled_width(config, shape)
    if (dense := dense_after(config, shape)) and dense[0].inputs != width:
        asked = f"-pooling_strategy {pooling_names(config)} -pooling_layer {' '.join(map(str, config.pooling_layer))}"
        raise ConfigError(
            f"{asked} makes vectors of {width} numbers, but the Dense of this folder takes {dense[0].inputs}: leave "
            "these options out"
        )
