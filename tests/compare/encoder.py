"""The encoder that rows 6 to 9 and 15 are about: all-MiniLM-L6-v2, or that of a folder which `--model` names."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from minilm import minilm_folder

from bert_serving.server.config import ServerConfig
from bert_serving.server.engine.model_folder import ModelFolder, WeightFormat, find_model
from bert_serving.server.errors import StartError

MOST_TOKENS = 128
"""Of a text, special ones included; what is longer is cut by all alike."""

_OF_SENTENCES = ("modules.json", "sentence_", "config_sentence_transformers")
"""How files begin that say what a folder of sentence-transformers does beside encoding: prompts, Dense, Normalize."""


class NoModel(Exception):
    """A folder whose encoder cannot be measured; the text says why."""


@dataclass(frozen=True)
class Encoder:
    """A Hugging Face folder with an encoder and nothing around it. Texts are cut to so many `tokens`."""

    folder: Path
    name: str
    tokens: int = MOST_TOKENS


def minilm() -> Encoder:
    """As it is published."""
    return Encoder(minilm_folder(), "all-MiniLM-L6-v2, real weights")


def encoder_in(model: Path, folder: Path) -> Encoder:
    """The encoder of a model, whose files are linked in `folder`: engines in process have no more of a model.

    Raises NoModel for what this server does not serve, and for a checkpoint of Google's.
    """
    try:
        found = find_model(ServerConfig.from_mapping({"model_dir": str(model)}))
    except StartError as error:
        raise NoModel(str(error)) from error
    if found.format is WeightFormat.GOOGLE:
        raise NoModel(
            f"{model} holds a TensorFlow checkpoint, which no engine in process reads: give a Hugging Face folder"
        )
    return Encoder(
        linked(found.folder, folder, but=_OF_SENTENCES), _named(model, found), min(MOST_TOKENS, found.shape.positions)
    )


def linked(source: Path, folder: Path, *, but: tuple[str, ...]) -> Path:
    """A new folder with links to the files of another one, `but` those whose names begin like that."""
    folder.mkdir(parents=True)
    for file in source.iterdir():
        if file.is_file() and not file.name.startswith(but):
            (folder / file.name).symlink_to(file.resolve())
    return folder


def with_positions(source: Path, folder: Path) -> Path:
    """A model's folder again, with a word in its config that transformers 5 no longer writes, and CTranslate2 reads."""
    name = "config.json"
    config = json.loads((source / name).read_text("utf-8"))
    linked(source, folder, but=(name,))
    (folder / name).write_text(json.dumps({"position_embedding_type": "absolute", **config}), "utf-8")
    return folder


def _named(model: Path, found: ModelFolder) -> str:
    shape = found.shape
    return f"{model.resolve().name}: {found.architecture.name}, {shape.layers} layers of {shape.hidden}"
