"""A cross-encoder of all-MiniLM-L6-v2's size, as a Hugging Face folder: its weights below a head of random ones.

It ranks nothing well, and costs what a real one costs.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
from minilm import minilm_folder
from safetensors.numpy import load_file, save_file

LABEL = "LABEL_0"
_STEEPNESS = 2.0
"""How large the weights of the head are: so that scores lie apart, and yet not near 0 or 1."""


def write_cross_encoder(folder: Path) -> Path:
    """A BertForSequenceClassification with one label; MiniLM's folder has the pooler."""
    source = minilm_folder()
    folder.mkdir(parents=True)
    for file in source.iterdir():
        if file.name.startswith(("tokenizer", "vocab", "special_tokens")):
            shutil.copy(file, folder)
    config = json.loads((source / "config.json").read_text("utf-8"))
    labels = {"id2label": {"0": LABEL}, "label2id": {LABEL: 0}, "problem_type": None}
    config |= {"architectures": ["BertForSequenceClassification"], **labels}
    (folder / "config.json").write_text(json.dumps(config, indent=2), "utf-8")
    held = load_file(source / "model.safetensors")
    weights = {f"bert.{name}": value for name, value in held.items() if value.dtype.kind == "f"}  # no `position_ids`
    width = weights["bert.pooler.dense.bias"].shape[0]
    head = np.random.default_rng(0).standard_normal((1, width), np.float32) * np.float32(_STEEPNESS)
    weights |= {"classifier.weight": head, "classifier.bias": np.zeros(1, np.float32)}
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    return folder
