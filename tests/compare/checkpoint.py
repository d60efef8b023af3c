"""Models as Google's folders, which 1.10 and this server both read: all-MiniLM-L6-v2, and random weights of any size.

Written through TensorFlow's own `SaveV2`; the names are turned from Hugging Face's into Google's.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from minilm import minilm_folder
from safetensors.numpy import load_file

from bert_serving.server.engine.tensors import load_tensorflow

Weights = dict[str, np.ndarray[Any, Any]]
POSITIONS, TYPES = 512, 2
_EMBEDDINGS = ("word_embeddings", "position_embeddings", "token_type_embeddings")


@dataclass(frozen=True)
class Size:
    """How large a BERT is."""

    hidden: int
    layers: int
    heads: int
    intermediate: int


MINILM = Size(384, 6, 12, 1536)
BERT_BASE = Size(768, 12, 12, 3072)


def write_minilm(folder: Path) -> Path:
    """all-MiniLM-L6-v2 in Google's form."""
    held = load_file(minilm_folder() / "model.safetensors")
    return _write(folder, MINILM, {google_name(name): _turned(name, value) for name, value in _used(held)})


def write_random(folder: Path, size: Size) -> Path:
    """Random weights in Google's form, with MiniLM's vocabulary."""
    words = len((minilm_folder() / "vocab.txt").read_text("utf-8").split("\n")) - 1
    generator = np.random.default_rng(0)
    weights = {
        name: np.ones(shape, np.float32)
        if name.endswith("gamma")
        else generator.standard_normal(shape, np.float32) * np.float32(0.02)
        for name, shape in shapes(size, words)
    }
    return _write(folder, size, weights)


def google_name(name: str) -> str:
    """`encoder.layer.0.output.dense.weight` becomes `bert/encoder/layer_0/output/dense/kernel`."""
    name = re.sub(r"layer\.(\d+)", r"layer_\1", name).replace("LayerNorm.weight", "LayerNorm.gamma")
    name = name.replace("LayerNorm.bias", "LayerNorm.beta").replace("embeddings.weight", "embeddings")
    return "bert/" + name.replace("dense.weight", "dense.kernel").replace(".weight", ".kernel").replace(".", "/")


def shapes(size: Size, words: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Every variable of a BERT by Google's name, with its shape."""
    for table, rows in zip(_EMBEDDINGS, (words, POSITIONS, TYPES), strict=True):
        yield f"bert/embeddings/{table}", (rows, size.hidden)
    yield from _norm("bert/embeddings", size.hidden)
    for number in range(size.layers):
        layer = f"bert/encoder/layer_{number}"
        for part in ("query", "key", "value"):
            yield from _dense(f"{layer}/attention/self/{part}", size.hidden, size.hidden)
        yield from _dense(f"{layer}/attention/output/dense", size.hidden, size.hidden)
        yield from _norm(f"{layer}/attention/output", size.hidden)
        yield from _dense(f"{layer}/intermediate/dense", size.hidden, size.intermediate)
        yield from _dense(f"{layer}/output/dense", size.intermediate, size.hidden)
        yield from _norm(f"{layer}/output", size.hidden)
    yield from _dense("bert/pooler/dense", size.hidden, size.hidden)


def _dense(name: str, inputs: int, outputs: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    yield f"{name}/kernel", (inputs, outputs)
    yield f"{name}/bias", (outputs,)


def _norm(name: str, hidden: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    yield f"{name}/LayerNorm/gamma", (hidden,)
    yield f"{name}/LayerNorm/beta", (hidden,)


def _used(held: Weights) -> Iterator[tuple[str, np.ndarray[Any, Any]]]:
    for name, value in held.items():
        if value.dtype.kind == "f":  # not the buffer `position_ids`
            yield name, value.astype(np.float32)


def _turned(name: str, value: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return np.ascontiguousarray(value.T) if google_name(name).endswith("kernel") else value


def _write(folder: Path, size: Size, weights: Weights) -> Path:
    words = len(weights["bert/embeddings/word_embeddings"])
    missing = dict(shapes(size, words)).keys() ^ weights.keys()
    if missing:
        raise ValueError(f"the variables are not those of a BERT: {sorted(missing)[:5]}")
    folder.mkdir(parents=True, exist_ok=True)
    save(folder / "bert_model.ckpt", weights)
    config = {
        "hidden_act": "gelu",
        "hidden_size": size.hidden,
        "num_hidden_layers": size.layers,
        "num_attention_heads": size.heads,
        "intermediate_size": size.intermediate,
        "max_position_embeddings": POSITIONS,
        "type_vocab_size": TYPES,
        "vocab_size": words,
        "initializer_range": 0.02,
        "hidden_dropout_prob": 0.1,
        "attention_probs_dropout_prob": 0.1,
    }
    (folder / "bert_config.json").write_text(json.dumps(config, indent=2))
    shutil.copy(minilm_folder() / "vocab.txt", folder)
    return folder


def save(prefix: Path, weights: Weights) -> None:
    """A TensorFlow checkpoint with these variables, `prefix` being its path without `.index`."""
    tf = load_tensorflow()
    names = sorted(weights)
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        tensors = [tf.compat.v1.placeholder(tf.float32, weights[name].shape) for name in names]
        saved = tf.raw_ops.SaveV2(
            prefix=str(prefix), tensor_names=names, shape_and_slices=[""] * len(names), tensors=tensors
        )
        session.run(saved, dict(zip(tensors, (weights[name] for name in names), strict=True)))
