"""How many tokens a text has for the model: after cutting, with [CLS] and [SEP], without padding."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from bert_serving.server.config import ServerConfig
from bert_serving.server.engine.contract import Row
from bert_serving.server.engine.features import FeatureMaker
from bert_serving.server.engine.model_folder import find_model
from bert_serving.server.engine.tokenization import load_tokenizer
from bert_serving.server.wanted import TextOptions

Count = Callable[[Sequence[str]], list[int]]


def counter_of_model(config: ServerConfig) -> Count:
    """Counts with the tokenizer of the model that a resolved config names, as the server does it."""
    model = find_model(config)
    limit = config.max_seq_len or model.shape.positions
    maker = FeatureMaker(load_tokenizer(config, model), limit, no_special_token=config.no_special_token)

    def count(texts: Sequence[str]) -> list[int]:
        return [
            row.length if isinstance(row, Row) else 0
            for row in maker.rows(list(texts), TextOptions(config.prompt_text))
        ]

    return count


def model_text(config: ServerConfig) -> str:
    """The size of the model in words."""
    shape = find_model(config).shape
    return f"{shape.layers} layers, {shape.hidden} wide, {shape.heads} heads"
