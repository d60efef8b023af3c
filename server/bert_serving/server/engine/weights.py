"""Weights of a checkpoint or of safetensors files, under this project's own names, with every variable checked.

The architecture has the name table. A variable that is missing, has another shape or is unknown in the encoder
is an error that names it.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from bert_serving.server.engine.architectures.base import Architecture, Extent, Rename, Variable, dense
from bert_serving.server.engine.model_folder import ModelFolder, WeightFormat
from bert_serving.server.engine.tensors import first_line, load_tensorflow
from bert_serving.server.errors import StartError

_logger = logging.getLogger(__name__)

Array = np.ndarray[Any, np.dtype[np.float32]]
Weights = dict[str, Array]


@dataclass(frozen=True)
class Source:
    """Stored variables of one format: their shapes by name, and how to read one."""

    where: str
    shapes: Mapping[str, tuple[int, ...]]
    read: Callable[[str], np.ndarray[Any, Any]]


def load_weights(model: ModelFolder, extent: Extent) -> Weights:
    """All weights within the extent as float32 arrays.

    Raises:
        StartError: a file is broken, or a variable is missing, unknown, or of another shape.
    """
    google = model.format is WeightFormat.GOOGLE
    source = open_checkpoint(model.weights[0]) if google else open_safetensors(model.weights, model.architecture)
    wanted = list(model.architecture.variables(model.shape, extent))
    stored = {variable.name: variable.google if google else variable.hugging_face for variable in wanted}
    for variable in wanted:
        _check(variable, stored[variable.name], source, model.architecture.name)
    everything = model.architecture.variables(
        model.shape, Extent(model.shape.layers, pooler=model.shape.has_pooler, labels=1)
    )
    known = {variable.google if google else variable.hugging_face for variable in everything}
    _check_leftovers(source, known, set(stored.values()), model.architecture, google)
    weights = {variable.name: _read(variable, stored[variable.name], source, google) for variable in wanted}
    return {**weights, **load_dense(model)}


def load_dense(model: ModelFolder) -> Weights:
    """Weights of the dense layers after pooling, `dense_0/kernel [in, out]` and so on. StartError as `load_weights`."""
    weights = {}
    for number, (file, shape) in enumerate(zip(model.following.dense_files, model.shape.dense, strict=True)):
        wanted = [*dense(f"dense_{number}", "linear", shape.inputs, shape.outputs, bias=shape.bias)]
        source = _source(str(file), dict(_stored_in(file)))
        for variable in wanted:
            _check(variable, variable.hugging_face, source, "Dense")
        if left := sorted(source.shapes.keys() - {variable.hugging_face for variable in wanted}):
            raise StartError(
                f"{file}: variable {left[0]} does not belong to a Dense of this config: save the model again"
            )
        for variable in wanted:
            weights[variable.name] = _read(variable, variable.hugging_face, source, google=False)
    return weights


# -- checks -----------------------------------------------------------------------------------------------------------

_LEFT_ON_PURPOSE = re.compile(r"/(adam_[mv]|Adam(_1)?|LAMB(_1)?)$|\.(position_ids|token_type_ids)$")


def _check(variable: Variable, stored: str, source: Source, architecture: str) -> None:
    found = source.shapes.get(stored)
    expected = variable.shape[::-1] if _is_torch(variable, stored) else variable.shape
    if found is None:
        missing = f"{source.where} has no variable {stored}, expected with shape {_sizes(expected)}"
        if other := next((name for name in source.shapes if name.endswith((f".{stored}", f"/{stored}"))), None):
            prefix = other.removesuffix(stored)
            raise StartError(f"{missing}, but {other}: save the model without the {prefix!r} that its names begin with")
        raise StartError(f"{missing}{_advice(variable, architecture)}")
    if found != expected:
        shapes = f"has shape {_sizes(found)}, but {_sizes(expected)} is expected"
        raise StartError(f"{source.where}: {stored} {shapes}{_advice(variable, architecture, found)}")


def _is_torch(variable: Variable, stored: str) -> bool:
    return variable.transposed and stored == variable.hugging_face


def _sizes(shape: Iterable[int]) -> str:
    return "[" + ", ".join(map(str, shape)) + "]"


def _advice(variable: Variable, architecture: str, found: tuple[int, ...] | None = None) -> str:
    if not variable.name.startswith("head/"):
        if found:
            return ": config and weights belong to different models"
        return f": it is not a complete {architecture} of this config"
    if found:
        return f": give -num_labels {found[0]}, or with REGRESSION use a checkpoint with one output"
    return ": CLASSIFICATION, REGRESSION and LOGITS need a fine-tuned model with a classifier, see -tuned_model_dir"


def _check_leftovers(source: Source, known: set[str], used: set[str], architecture: Architecture, google: bool) -> None:
    """Heads and optimizer slots may be left over, variables of the encoder may not: they would change its numbers."""
    encoder = architecture.google_names if google else architecture.encoder_names
    left = sorted(name for name in source.shapes if name not in known and not _LEFT_ON_PURPOSE.search(name))
    for name in left:
        if encoder is not None and encoder.search(name):
            raise StartError(
                f"{source.where}: variable {name} does not belong to a {architecture.name} of this config: use the "
                "model's own config"
            )
    unused = len(source.shapes) - len(used)
    if unused:
        _logger.debug("%s: %d variables are not used, including heads: %s", source.where, unused, ", ".join(left))


def _read(variable: Variable, stored: str, source: Source, google: bool) -> Array:
    array = source.read(stored)
    if variable.transposed and not google:
        array = array.T
    return np.asarray(array, np.float32)  # as it is in the file: what is only mapped takes no memory yet


# -- Google -----------------------------------------------------------------------------------------------------------


def open_checkpoint(prefix: Path) -> Source:
    """A TensorFlow checkpoint, by the path without `.index`."""
    tf = load_tensorflow()

    def guarded(read: Callable[[], Any]) -> Any:
        try:
            return read()
        except (
            Exception
        ) as error:  # TensorFlow raises whatever its C++ status says, down to RuntimeError and ValueError
            raise StartError(f"{prefix} is a broken checkpoint ({first_line(error)}): copy it again") from error

    reader = guarded(lambda: tf.train.load_checkpoint(str(prefix)))
    shapes = {name: tuple(shape) for name, shape in guarded(reader.get_variable_to_shape_map).items()}
    return Source(str(prefix), shapes, lambda name: np.asarray(guarded(lambda: reader.get_tensor(name))))


# -- Hugging Face -----------------------------------------------------------------------------------------------------

_FLOATS = {"F64": np.float64, "F32": np.float32, "F16": np.float16, "BF16": np.uint16}
_OLD_NAMES = (("LayerNorm.gamma", "LayerNorm.weight"), ("LayerNorm.beta", "LayerNorm.bias"))


@dataclass(frozen=True)
class _Stored:
    """Where a tensor is in a safetensors file."""

    file: Path
    dtype: str
    shape: tuple[int, ...]
    offset: int
    size: int

    def split(self, parts: int) -> list[_Stored]:
        """Equal parts of its rows, as far as they are; what is left over is seen when a shape is compared."""
        rows, size = self.shape[0] // parts, self.size // parts
        return (
            [
                replace(self, shape=(rows, *self.shape[1:]), offset=self.offset + number * size, size=size)
                for number in range(parts)
            ]
            if parts > 1
            else [self]
        )


def open_safetensors(files: tuple[Path, ...], architecture: Architecture) -> Source:
    """Safetensors files, names in today's form and without the prefix that models with a head have."""
    tensors: dict[str, _Stored] = {}
    for file in files:
        for name, stored in _stored_in(file):
            tensors.update(_today(name.removeprefix(architecture.prefix), stored, architecture.renames))
    where = str(files[0]) if len(files) == 1 else str(files[0].parent)
    return _source(where, tensors)


def _source(where: str, tensors: Mapping[str, _Stored]) -> Source:
    shapes = {name: stored.shape for name, stored in tensors.items()}
    return Source(where, shapes, lambda name: _read_stored(name, tensors[name]))


def _today(name: str, stored: _Stored, renames: Sequence[Rename]) -> dict[str, _Stored]:
    for old, new in _OLD_NAMES:
        name = name.replace(old, new)
    parts = {name: stored}
    for rename in renames:
        if rename.pattern.search(name):
            names = [rename.pattern.sub(one, name) for one in rename.names]
            parts = dict(zip(names, parts[name].split(len(names)), strict=True))
            name = names[0]
    return parts


def _stored_in(file: Path) -> Iterator[tuple[str, _Stored]]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, framework="numpy"):
            pass  # checks the header and that every tensor is within the file
    except (SafetensorError, OSError) as error:
        raise StartError(f"{file} is a broken safetensors file ({first_line(error)}): copy it again") from error
    with file.open("rb") as stream:
        size = int.from_bytes(stream.read(8), "little")
        header = json.loads(stream.read(size))
    header.pop("__metadata__", None)
    for name, about in header.items():
        begin, end = about["data_offsets"]
        yield name, _Stored(file, about["dtype"], tuple(about["shape"]), 8 + size + begin, end - begin)


def _read_stored(name: str, stored: _Stored) -> np.ndarray[Any, Any]:
    if stored.dtype not in _FLOATS:
        raise StartError(f"{stored.file}: {name} is stored as {stored.dtype}, which cannot be read: save it as float32")
    mapped = np.memmap(stored.file, _FLOATS[stored.dtype], "r", stored.offset, stored.shape)
    if stored.dtype != "BF16":
        return np.asarray(mapped)
    # bfloat16 is the upper half of a float32; numpy has no such type
    return (mapped.astype(np.uint32) << 16).view(np.float32)
