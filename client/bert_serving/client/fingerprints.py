"""Which model a server has, so that vectors of two models are never mixed. Pure.

A fingerprint names all that shapes a server's vectors: weights, tokenizer, architecture and options.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bert_serving.client.errors import ModelMismatch, quoted

_OF_OLD_SERVERS = ("protocol", "max_seq_len", "pooling_strategy", "pooling_layer", "normalize", "mask_cls_sep")
"""What identifies the model of a server without a fingerprint, such as 1.10."""


def fingerprint_in(config: Mapping[str, Any]) -> str:
    """The fingerprint of a server with this config; empty for an older server."""
    model = config.get("model")
    found = model.get("fingerprint") if isinstance(model, Mapping) else None
    return found if isinstance(found, str) else ""


def model_of(config: Mapping[str, Any]) -> str:
    """Names a server's model: by its fingerprint, or for an older server by the options that shape its vectors."""
    return fingerprint_in(config) or " ".join(f"{name}={quoted(config.get(name))}" for name in _OF_OLD_SERVERS)


def mismatch(expected: str | None, found: str) -> ModelMismatch | None:
    """The error to raise if the expected fingerprint is not the one found; empty: the server sends none."""
    if expected is None or found == expected:
        return None
    if not found:
        text = f"the server is too old to send the fingerprint of its model, but {expected!r} is expected"
        return ModelMismatch(f"{text}: update it, or leave expect_fingerprint out")
    return ModelMismatch(
        f"the server's model has the fingerprint {quoted(found)}, but {expected!r} is expected: start the server with "
        "the model and the options that made your other vectors, or encode those again"
    )
