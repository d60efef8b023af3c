"""Which products of a model run in int8, and how their inputs are rounded: found on built-in sentences.

The float32 graph encodes them, and each product is then made anew from what it took.
"""

from __future__ import annotations

from typing import Any

from bert_serving.server.config import ServerConfig
from bert_serving.server.engine.contract import Progress
from bert_serving.server.engine.encoder import Encoder, Inputs
from bert_serving.server.engine.layer_norm import plain
from bert_serving.server.engine.micro_batch import collate
from bert_serving.server.engine.model_folder import ModelFolder
from bert_serving.server.engine.packing import Packed
from bert_serving.server.engine.pooling import kept_extent
from bert_serving.server.engine.precision import sentence_rows
from bert_serving.server.engine.quantization import Plan, plan_for
from bert_serving.server.engine.session import session_options
from bert_serving.server.engine.tensors import load_tensorflow
from bert_serving.server.engine.variables import as_variables, fill
from bert_serving.server.engine.weights import Array, Weights

MOST_ERROR = 0.05
"""A product that is further from its float32 counterpart, in shares of its length, is not made in int8."""


def plan_products(config: ServerConfig, model: ModelFolder, weights: Weights, progress: Progress) -> Plan:
    """How each product of the layers that are kept is made; those that lose too much are left out."""
    progress("-dtype int8: measuring each product on built-in sentences")
    tf = load_tensorflow()
    graph, kept = tf.Graph(), dict[str, Any]()
    with graph.as_default():
        inputs = Inputs(*(tf.compat.v1.placeholder(tf.int32, [None, None]) for _ in range(3)))
        has_positions = not config.no_position_embeddings
        place = as_variables(kept.__setitem__)
        encoder = Encoder(model.shape, weights, plain, Packed, dtype=tf.float32, positions=has_positions, place=place)
        encoder.layers(inputs, kept_extent(config, model.shape).layers)
        taken = {
            name: tf.concat(tensors, 0)
            for name, tensors in encoder.dense_layers.taken.items()
            if name.startswith("layer_")
        }
    batch = collate(sentence_rows(config, model), mask_cls_sep=config.mask_cls_sep)
    feeds = dict(zip((inputs.ids, inputs.type_ids, inputs.mask), (batch.ids, batch.type_ids, batch.mask), strict=True))
    plan: dict[str, Array | None] = {}
    with tf.compat.v1.Session(graph=graph, config=session_options(config, cpu=True)) as session:
        fill(session, kept)
        found = session.run(taken, feeds)
    for name, taken_here in found.items():
        plan |= plan_for(name, taken_here, encoder.dense_layers.array(f"{name}/kernel"), MOST_ERROR)
    left = [name for name in found if name not in plan]
    progress(
        f"-dtype int8: {len(plan)} of {len(found)} products run in int8{', not ' + ', '.join(left) if left else ''}"
    )
    return plan
