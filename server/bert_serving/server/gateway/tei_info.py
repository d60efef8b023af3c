"""A service's status in the words of text-embeddings-inference's `/info`. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bert_serving.client.fingerprints import fingerprint_in
from bert_serving.server.poolings import PoolingStrategy

_POOLINGS = {
    PoolingStrategy.REDUCE_MEAN: "mean",
    PoolingStrategy.FIRST_TOKEN: "cls",
    PoolingStrategy.CLS_POOLED: "cls",
    PoolingStrategy.LAST_TOKEN: "last_token",
}


def info_of(status: Mapping[str, Any]) -> dict[str, Any]:
    """As TEI has it. `model_sha` is the fingerprint; a batch of any size is taken, `max_client_batch_size` is what
    the workers compute at once."""
    return {
        "model_id": status.get("model_name"),
        "model_sha": fingerprint_in(status) or None,
        "model_dtype": "float16" if status.get("fp16") else status.get("dtype"),
        "model_type": _type_of(status),
        "max_concurrent_requests": status.get("http_max_connect"),
        "max_input_length": status.get("max_seq_len") or status.get("max_positions"),
        "max_client_batch_size": status.get("max_batch_size"),
        "auto_truncate": True,
        "tokenization_workers": status.get("num_worker"),
        "version": status.get("version"),
        "sha": None,
        "docker_label": None,
    }


def _type_of(status: Mapping[str, Any]) -> dict[str, Any]:
    labels = status.get("labels") or []
    if not labels:
        strategy = PoolingStrategy(status["pooling_strategy"])
        return {"embedding": {"pooling": _POOLINGS.get(strategy, strategy.name.lower())}}
    id2label = {str(number): label for number, label in enumerate(labels)}
    label2id = {label: number for number, label in enumerate(labels)}
    return {"classifier" if len(labels) > 1 else "reranker": {"id2label": id2label, "label2id": label2id}}
