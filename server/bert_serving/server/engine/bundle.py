"""What a worker needs of a model besides its graph. It is stored in a constant of the graph, and so in the same file.

So the file that `prepare` wrote is enough to load a model, also on a machine without the model's folder.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import Any

from bert_serving.server.engine.architectures.base import shape_from
from bert_serving.server.engine.fingerprint import ModelContent
from bert_serving.server.engine.tensors import load_tensorflow
from bert_serving.server.engine.weights import Weights

_NAME = "bundle"
_TOP = ("pooler/", "head/", "dense_")
"""How names of weights on top of the layers begin."""


@dataclass(frozen=True)
class Bundle:
    """What the model is, and the number type of its products.

    `top` are the weights on top of the layers, for views that a request asks for.
    """

    content: ModelContent
    dtype: str
    top: Weights = field(default_factory=dict)

    @staticmethod
    def top_of(weights: Weights) -> Weights:
        """Those for `top`."""
        return {name: array for name, array in weights.items() if name.startswith(_TOP)}

    def put_into(self, graph: Any) -> None:
        """Add it to a `tf.Graph`."""
        tf = load_tensorflow()
        with graph.as_default():
            tf.constant(json.dumps([asdict(self.content), self.dtype, list(self.top)]), name=_NAME)
            for number, array in enumerate(self.top.values()):
                tf.constant(array, name=f"{_NAME}_{number}")

    @staticmethod
    def out_of(graph: Any) -> Bundle:
        """What `put_into` put there. KeyError if it is none of ours."""
        content, dtype, names = json.loads(_value(graph, _NAME).item())
        top = {name: _value(graph, f"{_NAME}_{number}") for number, name in enumerate(names)}
        changed = {"shape": shape_from(content["shape"]), "weights": tuple(content["weights"])}
        return Bundle(ModelContent(**{**content, **changed}), dtype, top)


def _value(graph: Any, name: str) -> Any:
    return load_tensorflow().get_static_value(graph.get_tensor_by_name(f"{name}:0"))
