"""Reads `modules.json` of a sentence-transformers folder: encoder, pooling, and what follows. No TensorFlow.

Names, formulas and defaults are those of the library (6.2, and older ones whose folders it still loads). A setting
that it follows and we cannot is refused by name.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from bert_serving.server.engine.architectures.base import DenseShape, size_in
from bert_serving.server.engine.model_files import read_json
from bert_serving.server.errors import StartError
from bert_serving.server.poolings import PoolingStrategy

_PACKAGE = "sentence_transformers."
_VECTOR = "sentence_embedding"
"""What the library calls the vector that goes from module to module."""

_MODES = {
    "cls": PoolingStrategy.FIRST_TOKEN,
    "max": PoolingStrategy.REDUCE_MAX,
    "mean": PoolingStrategy.REDUCE_MEAN,
    "mean_sqrt_len_tokens": PoolingStrategy.REDUCE_MEAN_SQRT,
    "weightedmean": PoolingStrategy.WEIGHTED_MEAN,
    "lasttoken": PoolingStrategy.LAST_TOKEN,
}
_OLD_MODES = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}
"""Switches of before version 5.4. Several stand side by side in this order; a list has an order of its own."""
_WIDTHS = ("embedding_dimension", "word_embedding_dimension")
_ACTIVATIONS = {
    "Tanh": "tanh", "Identity": "linear", "ReLU": "relu", "GELU": "gelu", "SiLU": "silu", "Sigmoid": "sigmoid",
}  # fmt: skip
"""PyTorch's classes, as the graph's functions."""


@dataclass(frozen=True)
class Module:
    """One line of `modules.json`: the name of its class, and where its files are."""

    kind: str
    folder: Path


@dataclass(frozen=True)
class Following:
    """What follows the encoder.

    `poolings` stand side by side; there are none where no Pooling is listed. Without `include_prompt` they leave the
    tokens of a prompt out. `dense` has its weights in `dense_files`. `normalize`: vectors are of length 1 in the end.
    """

    poolings: tuple[PoolingStrategy, ...] = ()
    include_prompt: bool = True
    dense: tuple[DenseShape, ...] = ()
    dense_files: tuple[Path, ...] = ()
    normalize: bool = False


def listed_modules(top: Path) -> list[Module]:
    """The modules of a folder, a Transformer first; none if it has no `modules.json`. Raises StartError."""
    path = top / "modules.json"
    if not path.is_file():
        return []
    modules = [_module(path, number, entry) for number, entry in enumerate(read_json(path, list))]
    if not modules:
        raise StartError(f"{path} lists no module: copy the model folder again")
    if modules[0].kind != "Transformer":
        raise StartError(f"{path}: module 0 is {modules[0].kind}, but only a Transformer can be served there")
    return modules


def _module(path: Path, number: int, entry: Any) -> Module:
    if not isinstance(entry, dict) or not all(isinstance(entry.get(name), str) for name in ("path", "type")):
        raise StartError(f"{path}: module {number} needs a path and a type: copy the model folder again")
    # kwargs names arguments of the library's `encode` that the module heeds, and nobody gives one here
    check_names(path, entry, ("idx", "name", "path", "type", "kwargs"))
    path_in = PurePosixPath(entry["path"])
    if path_in.is_absolute() or ".." in path_in.parts:
        raise StartError(f"{path}: the path of module {number}, {entry['path']!r}, leads out of the folder")
    name = entry["type"]
    if not name.startswith(_PACKAGE):
        raise StartError(
            f"{path}: module {number} is {name}, which is not part of sentence-transformers, and such code is never run"
        )
    return Module(name.rpartition(".")[2], path.parent / path_in)


def following_of(top: Path, modules: Sequence[Module], hidden: int) -> Following:
    """What comes after the Transformer, whose vectors are `hidden` wide. Raises StartError."""
    if len(modules) < 2:
        return Following()
    if modules[1].kind != "Pooling":
        raise _cannot(top, 1, modules[1], "only a Pooling can")
    poolings, include_prompt = _pooling(modules[1].folder / "config.json", hidden)
    width, normalize = hidden * len(poolings), False
    dense: list[DenseShape] = []
    files = []
    for number, module in enumerate(modules[2:], 2):
        if module.kind == "Normalize":
            _check_normalize(module.folder / "config.json")
            normalize = True
        elif module.kind == "Dense":
            dense.append(_dense(module.folder / "config.json", width, normalized=normalize))
            files.append(_weights_of(module.folder))
            width, normalize = dense[-1].outputs, False
        elif module.kind != "Dropout":  # which does nothing but in training
            raise _cannot(top, number, module, "only Dense, Normalize and Dropout can after a Pooling")
    return Following(poolings, include_prompt, tuple(dense), tuple(files), normalize)


def _cannot(top: Path, number: int, module: Module, what_can: str) -> StartError:
    return StartError(f"{top / 'modules.json'}: module {number} is {module.kind}, which cannot be served: {what_can}")


def _pooling(path: Path, hidden: int) -> tuple[tuple[PoolingStrategy, ...], bool]:
    values = read_json(path)
    check_names(path, values, (*_WIDTHS, "pooling_mode", *_OLD_MODES, "include_prompt"))
    for name in _WIDTHS:
        if values.get(name) not in (None, hidden):
            raise StartError(
                f"{path}: {name} is {json.dumps(values[name])}, but the encoder's vectors have {hidden} "
                "numbers: the files belong to different models"
            )
    modes = _modes(path, values)
    for mode in modes:
        if mode not in _MODES:
            raise StartError(f"{path}: pooling_mode {json.dumps(mode)} cannot be served, only {', '.join(_MODES)}")
    return tuple(_MODES[mode] for mode in modes), flag_in(path, values, "include_prompt", default=True)


def _modes(path: Path, values: Mapping[str, Any]) -> list[Any]:
    """The ways of pooling, by the one name, the list of names, or the old switches."""
    modes = values.get("pooling_mode")
    if modes is None:
        # with none of them the library takes the mean
        return [mode for name, mode in _OLD_MODES.items() if flag_in(path, values, name, default=False)] or ["mean"]
    modes = modes if isinstance(modes, list) else [modes]
    if not modes or not all(isinstance(mode, str) for mode in modes):
        raise StartError(f"{path}: pooling_mode must be a name or a list of names, not {json.dumps(modes)}")
    return modes


def _check_normalize(path: Path) -> None:
    if path.is_file():  # new folders have one
        values = read_json(path)
        check_names(path, values, ("module_input_name", "module_output_name"))
        _check_vector(path, values)


def _check_vector(path: Path, values: Mapping[str, Any]) -> None:
    for name in ("module_input_name", "module_output_name"):
        if values.get(name) not in (None, _VECTOR):
            raise StartError(f"{path}: {name} is {json.dumps(values[name])}, but only {_VECTOR} can be served")


def _dense(path: Path, width: int, *, normalized: bool) -> DenseShape:
    values = read_json(path)
    sizes, names = ("in_features", "out_features"), ("module_input_name", "module_output_name")
    check_names(path, values, (*sizes, "bias", "activation_function", *names, "use_residual"))
    _check_vector(path, values)
    if flag_in(path, values, "use_residual", default=False):
        raise StartError(f"{path}: use_residual is true, which cannot be served")
    inputs, outputs = (size_in(path, values, name) for name in sizes)
    if inputs != width:
        raise StartError(
            f"{path}: in_features is {inputs}, but its input has {width} numbers: the files belong to different models"
        )
    bias = flag_in(path, values, "bias", default=True)
    return DenseShape(inputs, outputs, _activation(path, values), bias=bias, normalized=normalized)


def _activation(path: Path, values: Mapping[str, Any]) -> str:
    name = values.get("activation_function", "torch.nn.modules.activation.Tanh")
    kind = str(name).rpartition(".")[2]
    if not str(name).startswith("torch.nn.") or kind not in _ACTIVATIONS:
        raise StartError(
            f"{path}: activation_function is {json.dumps(name)}, but only PyTorch's {', '.join(_ACTIVATIONS)} can be "
            "served"
        )
    return _ACTIVATIONS[kind]


def _weights_of(folder: Path) -> Path:
    path = folder / "model.safetensors"
    if not path.is_file():
        if (folder / "pytorch_model.bin").is_file():
            raise StartError(
                f"{folder} has only pytorch_model.bin, a pickle, which can run code when it is read and is never "
                "loaded: save the model again with sentence-transformers, which writes model.safetensors"
            )
        raise StartError(f"{path} is missing: it is expected in the model's folder")
    return path


# -- for the other files of such a folder -----------------------------------------------------------------------------


def check_names(path: Path, values: Mapping[str, Any], known: Collection[str]) -> None:
    """Raises StartError for a value under a name that is not known: it might change vectors."""
    for name, value in values.items():
        if name not in known and value is not None:
            raise StartError(f"{path}: {name} is {json.dumps(value)[:100]}, which is not supported")


def flag_in(path: Path, values: Mapping[str, Any], name: str, *, default: bool) -> bool:
    """A switch. Raises StartError if it is neither true nor false."""
    value = values.get(name)
    if value is None:
        return default
    if not isinstance(value, bool):
        raise StartError(f"{path}: {name} must be true or false, not {json.dumps(value)}")
    return value
