"""Classifiers of every family: logits of models with random weights, as torch computes them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bert_serving.server.config import ServerConfig
from bert_serving.server.engine.contract import Row
from bert_serving.server.engine.graph import build_graph
from bert_serving.server.engine.micro_batch import collate
from bert_serving.server.engine.model_folder import find_model
from bert_serving.server.engine.pooling import extent_of
from bert_serving.server.engine.session import GraphSession
from bert_serving.server.engine.weights import load_weights
from bert_serving.server.verify.plain_encoder import PlainEncoder

transformers = pytest.importorskip("transformers")
torch = pytest.importorskip("torch")

LABELS = 3
IDS = [[2, 17, 9, 30, 4, 11, 3], [2, 25, 3], [2, *range(5, 40), 3]]
SIZES = {"hidden_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 96}
COMMON = {**SIZES, "vocab_size": 64, "max_position_embeddings": 70, "num_labels": LABELS}
KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "bert": ("Bert", {}),
    "roberta": ("Roberta", {"type_vocab_size": 1}),
    "xlm-roberta": ("XLMRoberta", {"type_vocab_size": 1}),
    "camembert": ("Camembert", {"type_vocab_size": 1}),
    "mpnet": ("MPNet", {}),
    "distilbert": ("DistilBert", {"dim": 48, "n_layers": 2, "n_heads": 4, "hidden_dim": 96}),
    "electra": ("Electra", {"embedding_size": 32}),
    "albert": ("Albert", {"embedding_size": 32, "num_hidden_groups": 2}),
    "modernbert": ("ModernBert", {"local_attention": 8, "pad_token_id": 0}),
    "modernbert, mean": ("ModernBert", {"local_attention": 8, "pad_token_id": 0, "classifier_pooling": "mean"}),
    "nomic_bert": ("NomicBert", {}),
}


@pytest.mark.parametrize("name", KINDS)
def test_logits(name: str, tmp_path: Path) -> None:
    kind, changes = KINDS[name]
    torch.manual_seed(0)
    settings = getattr(transformers, f"{kind}Config")(**{**COMMON, **changes})
    model = getattr(transformers, f"{kind}ForSequenceClassification")(settings).eval()
    for weight in model.parameters():  # larger than at the start of a training, so that a part left out shows
        torch.nn.init.normal_(weight, std=0.3)
    model.save_pretrained(tmp_path)
    with torch.no_grad():
        expected = np.array([model(input_ids=torch.tensor([ids])).logits[0].numpy() for ids in IDS])

    given = {"model_dir": str(tmp_path), "cpu": True, "pooling_strategy": "LOGITS", "num_labels": LABELS}
    config = ServerConfig.from_mapping(given)
    found = find_model(config)
    assert found.labels == ("LABEL_0", "LABEL_1", "LABEL_2")
    rows = [Row(ids, len(ids), ()) for ids in IDS]
    extent = extent_of(config, found.shape)
    graph = build_graph(config, found.shape, load_weights(found, extent), "float32")
    scale = max(1.0, float(np.abs(expected).max()))
    np.testing.assert_allclose(GraphSession(graph, config).run(collate(rows)), expected, rtol=0, atol=2e-5 * scale)
    reference = PlainEncoder(config, found)
    np.testing.assert_allclose([reference.encode_row(row).top for row in rows], expected, rtol=0, atol=2e-5 * scale)
