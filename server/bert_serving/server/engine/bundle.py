"""What a worker needs of a model beside its graph, and where it is: in a constant of the graph, so in the same file.

So whoever has the file that `prepare` wrote can load it, on a machine without the model's folder too.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any

from bert_serving.server.engine.tensors import load_tensorflow

_NAME = "bundle"


@dataclass(frozen=True)
class Bundle:
    """The tokenizer's pipeline, how many tokens a row can have, and the fingerprint of model and options."""

    pipeline: str
    positions: int
    fingerprint: str

    def put_into(self, graph: Any) -> None:
        """Add it to a `tf.Graph`."""
        with graph.as_default():
            load_tensorflow().constant(json.dumps(asdict(self)), name=_NAME)

    @staticmethod
    def out_of(graph: Any) -> Bundle:
        """What `put_into` put there. KeyError if it is none of ours."""
        content = load_tensorflow().get_static_value(graph.get_tensor_by_name(f"{_NAME}:0")).item()
        return Bundle(**json.loads(content))
