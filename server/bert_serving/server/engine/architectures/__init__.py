"""The families of encoders that can be served, by the `model_type` in a model's config. No TensorFlow.

A new family is a row here and a module beside this one; the rest of the engine asks the row.
"""

from __future__ import annotations

from bert_serving.server.engine.architectures.base import Architecture
from bert_serving.server.engine.architectures.bert import BERT

ARCHITECTURES: dict[str, Architecture] = {"bert": BERT}
