"""Writes the files that make a model folder one of sentence-transformers."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

Modules = Sequence[tuple[str, Mapping[str, Any]]]
"""Kind and config of each module after the Transformer."""


def write_json(path: Path, values: Any) -> None:
    """Its folder too, if need be."""
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(values))


def write_modules(folder: Path, modules: Modules, seed: int = 0) -> None:
    """`modules.json` and the folders of all modules; a Dense gets random weights."""
    paths = [f"{number}_{kind}" for number, (kind, _) in enumerate(modules, 1)]
    listed = [("", "Transformer"), *((path, kind) for path, (kind, _) in zip(paths, modules, strict=True))]
    write_json(
        folder / "modules.json",
        [
            {"idx": number, "name": str(number), "path": path, "type": f"sentence_transformers.models.{kind}"}
            for number, (path, kind) in enumerate(listed)
        ],
    )
    chance = np.random.default_rng(seed)
    for path, (kind, values) in zip(paths, modules, strict=True):
        write_json(folder / path / "config.json", values)
        if kind == "Dense":
            sizes = values["out_features"], values["in_features"]
            tensors = {"linear.weight": np.asarray(chance.standard_normal(sizes), np.float32) / 7}
            if values.get("bias", True):
                tensors["linear.bias"] = np.asarray(chance.standard_normal(sizes[0]), np.float32)
            save_file(tensors, folder / path / "model.safetensors")


def dense(n_in: int, n_out: int, activation: str = "Tanh", **values: Any) -> tuple[str, dict[str, Any]]:
    """A Dense as the library writes it."""
    where = "linear" if activation == "Identity" else "activation"
    function = f"torch.nn.modules.{where}.{activation}"
    return "Dense", {"in_features": n_in, "out_features": n_out, "activation_function": function, **values}
