"""The content of `-model_dir`: architecture, shape, and where weights and tokenizer are. No TensorFlow.

`find_model` reads only small JSON files and the list of files; the weights are opened later, by `weights.py`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from pathlib import Path
from typing import Any

from bert_serving.server.config import ServerConfig
from bert_serving.server.engine.architectures import ARCHITECTURES
from bert_serving.server.engine.architectures.base import Architecture, EncoderShape
from bert_serving.server.engine.labels import is_multi_label, labels_in, score_in
from bert_serving.server.engine.model_files import POINTER, opened, read_json, refuse_pointer
from bert_serving.server.engine.sentence_config import SentenceConfig, read_sentence_config
from bert_serving.server.engine.sentence_modules import Following, following_of, listed_modules
from bert_serving.server.errors import StartError

_CONFIG = "config.json"
_HUB_NAME = re.compile(r"\w[\w.-]*/\w[\w.-]*")
"""ORGANIZATION/NAME, as the hub calls a model."""
_SAFETENSORS = "model.safetensors"
_SHARDS = "model.safetensors.index.json"


class WeightFormat(Enum):
    """How the weights are stored."""

    GOOGLE = "TensorFlow checkpoint"
    HUGGING_FACE = "safetensors"


@dataclass(frozen=True)
class ModelFolder:
    """Where everything of a model is.

    `weights` holds the checkpoint's prefix (Google) or the safetensors files. `tokenizer_folder` holds vocab.txt or
    tokenizer.json. `labels` are those of a classifier's head, if there is one. `following` is what a
    sentence-transformers folder has after the encoder, `sentence` what it says of itself.
    """

    folder: Path
    tokenizer_folder: Path
    format: WeightFormat
    weights: tuple[Path, ...]
    architecture: Architecture
    shape: EncoderShape
    labels: tuple[str, ...] = ()
    following: Following = field(default_factory=Following)
    sentence: SentenceConfig = field(default_factory=SentenceConfig)

    def weight_files(self) -> list[Path]:
        """All files with weights in them: those of the encoder in the order of their names, then what follows it."""
        if self.format is WeightFormat.HUGGING_FACE:
            return [*sorted(self.weights), *self.following.dense_files]
        prefixes = tuple(f"{prefix.name}.{part}" for prefix in self.weights for part in ("index", "data-"))
        files = sorted(path for path in self.weights[0].parent.iterdir() if path.name.startswith(prefixes))
        return [*files, *self.following.dense_files]


def find_model(config: ServerConfig) -> ModelFolder:
    """The model that the options point to. Raises StartError that names the file that is missing or broken."""
    top = Path(config.model_dir)
    if not top.is_dir():
        raise StartError(f"-model_dir {top} is not a folder: {_cure(config.model_dir)}")
    modules = listed_modules(top)
    sentence = read_sentence_config(top) if modules else SentenceConfig()
    folder = modules[0].folder if modules else top
    source = Path(config.tuned_model_dir) if config.tuned_model_dir else folder
    if not source.is_dir():
        raise StartError(f"-tuned_model_dir {source} is not a folder: give the folder of a fine-tuned checkpoint")
    kind, weights = _weights(source, folder, config)
    config_name = config.config_name if kind is WeightFormat.GOOGLE else _CONFIG
    path = folder / config_name
    values = read_json(path)
    architecture = _architecture(path, values, kind)
    shape = architecture.shape_of(path, values)
    labels = labels_in(path, values)
    if labels:
        head = replace(
            shape.head, score=score_in(path, values, sentence.activation_fn), is_multi_label=is_multi_label(values)
        )
        shape = replace(shape, head=head)
    following = following_of(top, modules, shape.hidden)
    shape = replace(shape, dense=following.dense)
    model = ModelFolder(folder, folder, kind, weights, architecture, shape, labels, following, sentence)
    for file in model.weight_files():
        with opened(file) as stream:
            refuse_pointer(file, stream.read(len(POINTER)))
    return model


def _cure(model_dir: str) -> str:
    """What to do about a -model_dir that is not there."""
    if not _HUB_NAME.fullmatch(model_dir) or Path(model_dir).exists():
        return "give the folder of a model"
    folder = model_dir.rpartition("/")[2]
    return (
        f"if it is a model on the Hugging Face hub, first run `hf download {model_dir} --local-dir {folder}`, then "
        f"give -model_dir {folder}"
    )


# -- the weights ------------------------------------------------------------------------------------------------------


def _weights(source: Path, folder: Path, config: ServerConfig) -> tuple[WeightFormat, tuple[Path, ...]]:
    prefix = source / config.ckpt_name
    if prefix.with_name(prefix.name + ".index").is_file():
        if not list(source.glob(f"{_literal(config.ckpt_name)}.data-*")):
            raise StartError(f"{prefix}.data-00000-of-00001 is missing, though its .index is there: copy it too")
        return WeightFormat.GOOGLE, (prefix,)
    if (source / _SAFETENSORS).is_file():
        return WeightFormat.HUGGING_FACE, (source / _SAFETENSORS,)
    if (source / _SHARDS).is_file():
        return WeightFormat.HUGGING_FACE, _shards(source / _SHARDS)
    raise StartError(_no_weights(source, folder, config))


def _literal(name: str) -> str:
    return "".join(f"[{letter}]" if letter in "*?[" else letter for letter in name)


def _shards(index: Path) -> tuple[Path, ...]:
    names = read_json(index).get("weight_map")
    if not isinstance(names, dict) or not names or any(not _is_file_name(name) for name in names.values()):
        raise StartError(f'{index} must map variables to files under "weight_map": copy the file again')
    files = tuple(index.parent / name for name in sorted(set(names.values())))
    for file in files:
        if not file.is_file():
            raise StartError(f"{file} is missing, though {index.name} names it: copy it too")
    return files


def _is_file_name(name: Any) -> bool:
    return isinstance(name, str) and name not in ("", ".", "..") and Path(name).name == name


def _no_weights(source: Path, folder: Path, config: ServerConfig) -> str:
    others = sorted(path.name.removesuffix(".index") for path in source.glob("*.index"))
    if others:
        return f"{source} has no {config.ckpt_name}.index, but a checkpoint {others[0]}: give -ckpt_name {others[0]}"
    if list(source.glob("pytorch_model*.bin")):
        return (
            f"{source} has only pytorch_model.bin, a pickle, which can run code when it is read and is never loaded: "
            f"save the model again as {_SAFETENSORS}"
        )
    if (folder / config.config_name).is_file():
        return f"{source / config.ckpt_name}.index is missing: the checkpoint is expected there"
    return (
        f"{source} contains no model; expected is {config.ckpt_name}.index with {config.config_name} and vocab.txt, "
        f"or {_CONFIG} with {_SAFETENSORS} and vocab.txt or tokenizer.json"
    )


# -- the architecture -------------------------------------------------------------------------------------------------


def _architecture(path: Path, values: Mapping[str, Any], kind: WeightFormat) -> Architecture:
    """By the config's `model_type`; Google's configs have none, and old ones of Hugging Face neither."""
    name = "bert" if kind is WeightFormat.GOOGLE else values.get("model_type", "bert")
    if not isinstance(name, str) or name not in ARCHITECTURES:
        known = ", ".join(ARCHITECTURES)
        raise StartError(f"{path}: model_type is {json.dumps(name)}, but only {known} can be served: use such a model")
    return ARCHITECTURES[name]
