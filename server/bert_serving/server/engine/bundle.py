"""What a worker needs of a model beside its graph, and where it is: in a constant of the graph, so in the same file.

So whoever has the file that `prepare` wrote can load it, on a machine without the model's folder too.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any

from bert_serving.server.config import ServerConfig
from bert_serving.server.engine.model_folder import ModelFolder
from bert_serving.server.engine.tensors import load_tensorflow
from bert_serving.server.engine.tokenization import Normalization, Vocabulary, find_vocabulary

_NAME = "text_side"


@dataclass(frozen=True)
class TextSide:
    """How texts become rows: the vocabulary, and how many tokens a row of this model can have."""

    vocabulary: Vocabulary
    positions: int

    @staticmethod
    def of_folder(config: ServerConfig, model: ModelFolder) -> TextSide:
        """That of a model; StartError that names the file if the vocabulary is missing or does not fit."""
        return TextSide(find_vocabulary(config, model), model.shape.positions)

    def to_json(self) -> str:
        """The same for the same, so that it can be part of a key."""
        tokens, normalization = self.vocabulary.tokens, asdict(self.vocabulary.normalization)
        return json.dumps({"positions": self.positions, "normalization": normalization, "tokens": tokens})

    def put_into(self, graph: Any) -> None:
        """Add it to a `tf.Graph`."""
        with graph.as_default():
            load_tensorflow().constant(self.to_json(), name=_NAME)

    @staticmethod
    def out_of(graph: Any) -> TextSide:
        """What `put_into` put there. KeyError if it is none of ours."""
        values = json.loads(load_tensorflow().get_static_value(graph.get_tensor_by_name(f"{_NAME}:0")).item())
        vocabulary = Vocabulary(values["tokens"], Normalization(**values["normalization"]))
        return TextSide(vocabulary, values["positions"])
