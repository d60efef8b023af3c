"""RoBERTa, XLM-RoBERTa and CamemBERT (https://arxiv.org/abs/1907.11692): BERT whose positions begin behind padding's.

The first token has the row after that of the padding token in the table of positions, which so holds fewer tokens than
it has rows. There is one type. No TensorFlow.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from bert_serving.server.engine.architectures.base import (
    Architecture,
    EncoderShape,
    Extent,
    HeadShape,
    Values,
    Variable,
    dense,
    output,
)
from bert_serving.server.engine.architectures.bert import bert_encoder, bert_shape
from bert_serving.server.errors import StartError

_PADDING_ID = 1


def _shape_of(path: Path, values: Values) -> EncoderShape:
    shape = bert_shape(path, {"layer_norm_eps": 1e-5, "type_vocab_size": 1, **values})
    padding = values.get("pad_token_id", _PADDING_ID)
    if isinstance(padding, bool) or not isinstance(padding, int) or not 0 <= padding < shape.positions - 1:
        raise StartError(
            f"{path}: pad_token_id is {json.dumps(padding)}, but positions are counted from it: it must be a row of "
            f"the table of {shape.positions} positions"
        )
    first = padding + 1
    return replace(shape, positions=shape.positions - first, first_position=first, head=HeadShape())


def _variables(shape: EncoderShape, extent: Extent) -> Iterator[Variable]:
    yield from bert_encoder(shape, extent.layers)
    if extent.pooler:
        yield from dense("pooler", "pooler.dense", shape.hidden, shape.hidden)
    if extent.labels:
        yield from dense("head/dense", "classifier.dense", shape.hidden, shape.hidden)
        yield from output("classifier.out_proj", extent.labels, shape.hidden)


ROBERTA, XLM_ROBERTA, CAMEMBERT = (
    Architecture(
        name=name,
        shape_of=_shape_of,
        variables=_variables,
        prefix="roberta.",
        encoder_names=re.compile(r"^(embeddings|encoder|pooler)\."),
    )
    for name in ("RoBERTa", "XLM-RoBERTa", "CamemBERT")
)
