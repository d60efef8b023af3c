"""Weights of a checkpoint or of safetensors files, under this project's own names, checked to the last variable.

A `Variable` is one row of the name table: its name here, in Google's checkpoints and in Hugging Face's files, and its
shape. Whatever is missing, has another shape or lies in the encoder without being known is an error that names it.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bert_serving.server.engine.model_folder import BertShape, ModelFolder, WeightFormat
from bert_serving.server.engine.tensors import first_line, load_tensorflow
from bert_serving.server.errors import StartError

_logger = logging.getLogger(__name__)

Array = np.ndarray[Any, np.dtype[np.float32]]
Weights = dict[str, Array]


@dataclass(frozen=True)
class Variable:
    """One weight. `transposed`: PyTorch keeps the kernels of dense layers as [out, in]."""

    name: str
    google: str
    hugging_face: str
    shape: tuple[int, ...]
    transposed: bool = False


@dataclass(frozen=True)
class Extent:
    """How much of a model is needed: the lowest `layers`, and what stands on top of them."""

    layers: int
    pooler: bool = False
    labels: int = 0


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
    source = open_checkpoint(model.weights[0]) if google else open_safetensors(model.weights)
    wanted = list(variables(model.shape, extent))
    stored = {variable.name: variable.google if google else variable.hugging_face for variable in wanted}
    for variable in wanted:
        _check(variable, stored[variable.name], source)
    everything = variables(model.shape, Extent(model.shape.layers, pooler=True, labels=1))
    known = {variable.google if google else variable.hugging_face for variable in everything}
    _check_leftovers(source, known, set(stored.values()), google)
    return {variable.name: _read(variable, stored[variable.name], source, google) for variable in wanted}


# -- the name table ---------------------------------------------------------------------------------------------------


def variables(shape: BertShape, extent: Extent) -> Iterator[Variable]:
    """The name table of a model of that shape."""
    hidden = shape.hidden
    yield _table("embeddings/word", "word_embeddings", shape.vocab, hidden)
    yield _table("embeddings/position", "position_embeddings", shape.positions, hidden)
    yield _table("embeddings/type", "token_type_embeddings", shape.types, hidden)
    yield from _norm("embeddings/norm", "embeddings/LayerNorm", hidden)
    for layer in range(extent.layers):
        yield from _layer(f"layer_{layer}", f"encoder/layer_{layer}", shape)
    if extent.pooler:
        yield from _dense("pooler", "pooler/dense", hidden, hidden)
    if extent.labels:
        yield Variable("head/kernel", "output_weights", "classifier.weight", (extent.labels, hidden))
        yield Variable("head/bias", "output_bias", "classifier.bias", (extent.labels,))


def _layer(name: str, path: str, shape: BertShape) -> Iterator[Variable]:
    hidden, inner = shape.hidden, shape.intermediate
    for part in ("query", "key", "value"):
        yield from _dense(f"{name}/{part}", f"{path}/attention/self/{part}", hidden, hidden)
    yield from _dense(f"{name}/attention", f"{path}/attention/output/dense", hidden, hidden)
    yield from _norm(f"{name}/attention_norm", f"{path}/attention/output/LayerNorm", hidden)
    yield from _dense(f"{name}/intermediate", f"{path}/intermediate/dense", hidden, inner)
    yield from _dense(f"{name}/output", f"{path}/output/dense", inner, hidden)
    yield from _norm(f"{name}/output_norm", f"{path}/output/LayerNorm", hidden)


def _table(name: str, path: str, rows: int, width: int) -> Variable:
    return Variable(name, f"bert/embeddings/{path}", f"embeddings.{path}.weight", (rows, width))


def _dense(name: str, path: str, n_in: int, n_out: int) -> Iterator[Variable]:
    dotted = _dotted(path)
    yield Variable(f"{name}/kernel", f"bert/{path}/kernel", f"{dotted}.weight", (n_in, n_out), transposed=True)
    yield Variable(f"{name}/bias", f"bert/{path}/bias", f"{dotted}.bias", (n_out,))


def _norm(name: str, path: str, width: int) -> Iterator[Variable]:
    yield Variable(f"{name}/scale", f"bert/{path}/gamma", f"{_dotted(path)}.weight", (width,))
    yield Variable(f"{name}/offset", f"bert/{path}/beta", f"{_dotted(path)}.bias", (width,))


def _dotted(path: str) -> str:
    return path.replace("layer_", "layer.").replace("/", ".")


# -- checks -----------------------------------------------------------------------------------------------------------

_GOOGLE_ENCODER = re.compile(r"^bert/")
_HUGGING_FACE_ENCODER = re.compile(r"^(embeddings|encoder|pooler)\.")
_LEFT_ON_PURPOSE = re.compile(r"/(adam_[mv]|Adam(_1)?|LAMB(_1)?)$|\.(position_ids|token_type_ids)$")


def _check(variable: Variable, stored: str, source: Source) -> None:
    found = source.shapes.get(stored)
    expected = variable.shape[::-1] if _is_torch(variable, stored) else variable.shape
    if found is None:
        raise StartError(
            f"{source.where} has no variable {stored}, expected with shape {_sizes(expected)}{_advice(variable)}"
        )
    if found != expected:
        shapes = f"has shape {_sizes(found)}, but expected is {_sizes(expected)}"
        raise StartError(f"{source.where}: {stored} {shapes}{_advice(variable, found)}")


def _is_torch(variable: Variable, stored: str) -> bool:
    return variable.transposed and stored == variable.hugging_face


def _sizes(shape: Iterable[int]) -> str:
    return "[" + ", ".join(map(str, shape)) + "]"


def _advice(variable: Variable, found: tuple[int, ...] | None = None) -> str:
    if not variable.name.startswith("head/"):
        return ": config and weights are of different models" if found else ": it is not a whole BERT of that config"
    if found:
        return f": give -num_labels {found[0]}, or with REGRESSION use a checkpoint with one output"
    return ": CLASSIFICATION and REGRESSION need a fine-tuned checkpoint, see -tuned_model_dir"


def _check_leftovers(source: Source, known: set[str], used: set[str], google: bool) -> None:
    """Heads and optimizer slots may be left over, variables of the encoder may not: they would change its numbers."""
    encoder = _GOOGLE_ENCODER if google else _HUGGING_FACE_ENCODER
    left = sorted(name for name in source.shapes if name not in known and not _LEFT_ON_PURPOSE.search(name))
    for name in left:
        if encoder.search(name):
            raise StartError(
                f"{source.where}: variable {name} has no place in a BERT of that config: use the model's own config"
            )
    unused = len(source.shapes) - len(used)
    if unused:
        _logger.debug("%s: %d variables are not needed, heads among them: %s", source.where, unused, ", ".join(left))


def _read(variable: Variable, stored: str, source: Source, google: bool) -> Array:
    array = source.read(stored)
    if variable.transposed and not google:
        array = array.T
    return np.ascontiguousarray(array, np.float32)


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
    """Where a tensor lies in a safetensors file."""

    file: Path
    dtype: str
    shape: tuple[int, ...]
    offset: int


def open_safetensors(files: tuple[Path, ...]) -> Source:
    """Safetensors files, names in today's form and without the prefix that models with a head have."""
    tensors = {_today(name): stored for file in files for name, stored in _stored_in(file)}
    where = str(files[0]) if len(files) == 1 else str(files[0].parent)
    return Source(
        where, {name: stored.shape for name, stored in tensors.items()}, lambda name: _read_stored(name, tensors[name])
    )


def _today(name: str) -> str:
    name = name.removeprefix("bert.")
    for old, new in _OLD_NAMES:
        name = name.replace(old, new)
    return name


def _stored_in(file: Path) -> Iterator[tuple[str, _Stored]]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, framework="numpy"):
            pass  # checks the header and that every tensor lies within the file
    except (SafetensorError, OSError) as error:
        raise StartError(f"{file} is a broken safetensors file ({first_line(error)}): copy it again") from error
    with file.open("rb") as stream:
        size = int.from_bytes(stream.read(8), "little")
        header = json.loads(stream.read(size))
    header.pop("__metadata__", None)
    for name, about in header.items():
        yield name, _Stored(file, about["dtype"], tuple(about["shape"]), 8 + size + about["data_offsets"][0])


def _read_stored(name: str, stored: _Stored) -> np.ndarray[Any, Any]:
    if stored.dtype not in _FLOATS:
        raise StartError(f"{stored.file}: {name} is stored as {stored.dtype}, which cannot be read: save it as float32")
    mapped = np.memmap(stored.file, _FLOATS[stored.dtype], "r", stored.offset, stored.shape)
    if stored.dtype != "BF16":
        return np.asarray(mapped)
    # bfloat16 is the upper half of a float32; numpy has no such type
    return (mapped.astype(np.uint32) << 16).view(np.float32)
