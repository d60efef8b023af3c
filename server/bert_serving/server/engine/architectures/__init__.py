"""The supported families of encoders, by the `model_type` in a model's config. No TensorFlow.

A new family is a row here and a module in this package; the rest of the engine uses the row.
"""

from __future__ import annotations

from bert_serving.server.engine.architectures.albert import ALBERT
from bert_serving.server.engine.architectures.base import Architecture
from bert_serving.server.engine.architectures.bert import BERT
from bert_serving.server.engine.architectures.distilbert import DISTILBERT
from bert_serving.server.engine.architectures.electra import ELECTRA
from bert_serving.server.engine.architectures.modernbert import MODERNBERT
from bert_serving.server.engine.architectures.mpnet import MPNET
from bert_serving.server.engine.architectures.nomic_bert import NOMIC_BERT
from bert_serving.server.engine.architectures.roberta import CAMEMBERT, ROBERTA, XLM_ROBERTA

ARCHITECTURES: dict[str, Architecture] = {
    "bert": BERT,
    "roberta": ROBERTA,
    "xlm-roberta": XLM_ROBERTA,
    "camembert": CAMEMBERT,
    "mpnet": MPNET,
    "distilbert": DISTILBERT,
    "electra": ELECTRA,
    "albert": ALBERT,
    "modernbert": MODERNBERT,
    "nomic_bert": NOMIC_BERT,
}
