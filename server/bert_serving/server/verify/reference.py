"""The vectors that a server should send, from the best available reference."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from bert_serving.server.config import ServerConfig
from bert_serving.server.engine.contract import FloatArray
from bert_serving.server.engine.model_folder import WeightFormat, find_model
from bert_serving.server.poolings import PoolingStrategy
from bert_serving.server.verify import hugging_face
from bert_serving.server.verify.dense import dense_layers
from bert_serving.server.verify.hugging_face import TransformersEncoder
from bert_serving.server.verify.plain_encoder import PlainEncoder
from bert_serving.server.verify.pooling import EncodedText, padded, pool


class Encoder(Protocol):
    """A BERT that is not the server's."""

    @property
    def name(self) -> str:
        """What it is, and what it shares with the server."""

    def encode(self, text: str) -> EncodedText:
        """All layers of one text, which may be a pair."""


def find_encoder(config: ServerConfig) -> Encoder:
    """Hugging Face's library where it is installed and can read the folder, else NumPy.

    `config` is one that the engine has resolved, see `BertServer.config`. Raises BertServerError.
    """
    model = find_model(config)
    if model.format is WeightFormat.HUGGING_FACE and hugging_face.is_installed():
        return TransformersEncoder(config, model)
    return PlainEncoder(config, model)


def reference_vectors(config: ServerConfig, encoder: Encoder, texts: Sequence[str]) -> list[FloatArray]:
    """What one request with these texts should be answered: for each text `[D]`, with NONE `[T, W]`."""
    dense = dense_layers(config, find_model(config))
    vectors = [pool(config, encoder.encode(text), dense) for text in texts]
    return padded(config, vectors) if config.pooling_strategy is PoolingStrategy.NONE else vectors
