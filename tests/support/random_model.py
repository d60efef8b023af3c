"""Hugging Face folders of any size with random weights, for what only depends on sizes: time and memory."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from bert_serving.server.config import ServerConfig
from bert_serving.server.engine.architectures.base import Extent
from bert_serving.server.engine.model_folder import find_model


def write_model(folder: Path, like: Path, sizes: Mapping[str, int]) -> int:
    """Write a model like the small one in `like`, but of these sizes, a tensor at a time. The bytes of the weights."""
    values = json.loads((like / "config.json").read_text("utf-8"))
    (folder / "config.json").write_text(json.dumps({**values, **sizes}))
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (folder / name).write_bytes((like / name).read_bytes())
    (folder / "model.safetensors").write_bytes(b"")  # so that the folder is taken for a model
    model = find_model(ServerConfig.from_mapping({"model_dir": str(folder), "cpu": True}))
    variables = list(model.architecture.variables(model.shape, Extent(model.shape.layers)))
    header, end = {}, 0
    for variable in variables:
        shape = variable.shape[::-1] if variable.transposed else variable.shape
        begin, end = end, end + 4 * int(np.prod(shape))
        header[variable.hugging_face] = {"dtype": "F32", "shape": shape, "data_offsets": [begin, end]}
    head = json.dumps(header).encode()
    rng = np.random.default_rng(0)
    with (folder / "model.safetensors").open("wb") as stream:
        stream.write(len(head).to_bytes(8, "little") + head)
        for variable in variables:
            numbers = 0.02 * rng.standard_normal(variable.shape[::-1], np.float32)
            stream.write((numbers + float(variable.name.endswith("/scale"))).data)
    return end
