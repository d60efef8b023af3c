"""Which model a server has, and whether vectors of two models are about to be mixed. Pure.

A fingerprint names all that shapes a server's vectors: weights, tokenizer, architecture and options.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bert_serving.client.errors import ModelMismatch, quoted

_OF_OLD_SERVERS = ("protocol", "max_seq_len", "pooling_strategy", "pooling_layer", "normalize", "mask_cls_sep")
"""What can be told of a server that sends no fingerprint, as those of 1.10 do not."""


def fingerprint_in(config: Mapping[str, Any]) -> str:
    """That of a server with this config; empty for an older one."""
    model = config.get("model")
    found = model.get("fingerprint") if isinstance(model, Mapping) else None
    return found if isinstance(found, str) else ""


def model_of(config: Mapping[str, Any]) -> str:
    """Names the model of a server: by its fingerprint, or by what an older one says of its vectors."""
    return fingerprint_in(config) or " ".join(f"{name}={quoted(config.get(name))}" for name in _OF_OLD_SERVERS)


def mismatch(expected: str | None, found: str) -> ModelMismatch | None:
    """The error to raise where a fingerprint is expected and another one is found; empty: the server sends none."""
    if expected is None or found == expected:
        return None
    if not found:
        text = f"the server sends no fingerprint of its model, for it is older than that, and {expected!r} is expected"
        return ModelMismatch(f"{text}: update it, or leave expect_fingerprint out")
    return ModelMismatch(
        f"the server's model has the fingerprint {quoted(found)}, and {expected!r} is expected: start it with the "
        "model and the options that the other vectors were made with, or encode those anew"
    )
