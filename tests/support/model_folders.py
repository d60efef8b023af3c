"""The tiny model's folder, copies of it, and what tests of other folders do with them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from folders import TINY

from bert_serving.server.config import ServerConfig
from bert_serving.server.engine import tensorflow_engine
from bert_serving.server.engine.contract import Row
from bert_serving.server.engine.tensorflow_engine import TensorFlowEngine

TEXTS = ["hello world!", "First do it ||| then do it right", "Café 你好"]

Load = Callable[..., TensorFlowEngine]
Folder = Callable[..., Path]
Weights = dict[str, np.ndarray[Any, Any]]


def resolve(folder: Path, **options: Any) -> ServerConfig:
    """The engine's config for this folder, or the error that refuses it."""
    return tensorflow_engine.resolve(ServerConfig.from_mapping({"model_dir": str(folder), "cpu": True, **options}))


def prepare(folder: Path, **options: Any) -> str:
    """Build the folder's graph, which reads its weights."""
    return tensorflow_engine.prepare(resolve(folder, graph_tmp_dir=str(folder), **options), lambda text: None)


def vectors(engine: TensorFlowEngine) -> Any:
    """What the engine makes of TEXTS."""
    return engine.run([row for row in engine.features(TEXTS) if isinstance(row, Row)])


def assert_same(folder: Path, load_engine: Load, atol: float = 1e-5) -> None:
    """The folder's model gives the tiny model's vectors."""
    found = load_engine(model_dir=str(folder), pooling_layer=[-1])
    np.testing.assert_allclose(vectors(found), vectors(load_engine(pooling_layer=[-1])), rtol=0, atol=atol)


def copy_tiny(folder: Path, *, without: str = "") -> Path:
    """Fill `folder` with the tiny model's files, but the one named by `without`."""
    for file in TINY.iterdir():
        if file.name != without:
            (folder / file.name).write_bytes(file.read_bytes())
    return folder


def write_tokenizer_json(folder: Path, **parts: Any) -> None:
    """Say what `vocab.txt` says the way Hugging Face's fast tokenizers do; `parts` take the place of its own."""
    tokens = (folder / "vocab.txt").read_text("utf-8").split("\n")[:-1]
    model = {"type": "WordPiece", "unk_token": "[UNK]", "vocab": {token: number for number, token in enumerate(tokens)}}
    content = {
        "added_tokens": [{"id": 0, "content": "[PAD]"}],
        "normalizer": {"type": "BertNormalizer", "lowercase": True, "strip_accents": None},
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "model": model,
    }
    (folder / "tokenizer.json").write_text(json.dumps({**content, **parts}))
