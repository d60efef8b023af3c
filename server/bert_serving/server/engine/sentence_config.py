"""Reads `config_sentence_transformers.json` of a folder: the kind of model, and its prompts. No TensorFlow."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bert_serving.server.engine.model_files import read_json
from bert_serving.server.engine.sentence_modules import check_names
from bert_serving.server.errors import StartError

_KINDS = ("SentenceTransformer", "CrossEncoder")
# a similarity is computed by whoever has the vectors, modules that keep float32 do so here anyway, and requirements are
# versions of packages
_HARMLESS = ("__version__", "similarity_fn_name", "keep_in_fp32_modules", "requirements")
_SETTINGS = tuple(
    f"sentence_{kind}_config.json" for kind in ("bert", "roberta", "distilbert", "camembert", "albert", "xlm-roberta")
)
"""What the encoder's settings are in; old folders call the file after their encoder."""
_ALWAYS_THERE = ("query", "document")
"""Prompts that each model has in the library, empty ones where its folder says nothing else."""


@dataclass(frozen=True)
class SentenceConfig:
    """`prompts` are pairs of a name and a text; an empty `default_prompt` is none. `activation_fn` is what a
    cross-encoder's scores go through."""

    is_cross_encoder: bool = False
    prompts: tuple[tuple[str, str], ...] = ()
    default_prompt: str | None = None
    activation_fn: str | None = None


def read_sentence_config(top: Path) -> SentenceConfig:
    """Of a folder; one without the file, as old ones are, has no prompts. Raises StartError."""
    path = top / "config_sentence_transformers.json"
    if not path.is_file():
        return SentenceConfig()
    values = read_json(path)
    check_names(path, values, (*_HARMLESS, "model_type", "prompts", "default_prompt_name", "activation_fn"))
    kind = values.get("model_type") or _KINDS[0]
    if kind not in _KINDS:
        raise StartError(f"{path}: model_type is {json.dumps(kind)}, but only {' and '.join(_KINDS)} can be served")
    prompts = _prompts(path, values.get("prompts") or {})
    default = values.get("default_prompt_name")
    if default in _ALWAYS_THERE and default not in prompts:
        default = ""
    elif default is not None and default not in prompts:
        raise StartError(
            f"{path}: default_prompt_name {json.dumps(default)} is not one of the prompts: {_names(prompts)}"
        )
    function = values.get("activation_fn")
    return SentenceConfig(kind == "CrossEncoder", tuple(prompts.items()), default, function and str(function))


def encoder_settings(folder: Path) -> tuple[Path, Mapping[str, Any]]:
    """What the encoder of a folder is called with, and the file that says so; nothing if there is none.

    Raises StartError.
    """
    for path in (folder / name for name in _SETTINGS):
        if path.is_file() and (values := read_json(path)):
            return path, values
    return folder / _SETTINGS[0], {}


def _prompts(path: Path, values: Any) -> dict[str, str]:
    if not isinstance(values, dict) or not all(isinstance(text, (str, type(None))) for text in values.values()):
        raise StartError(f"{path}: prompts must map names to texts, not {json.dumps(values)[:100]}")
    prompts = {name: text or "" for name, text in values.items()}
    try:
        "".join([*prompts, *prompts.values()]).encode("utf-8")
    except UnicodeEncodeError:
        raise StartError(f"{path}: a prompt is not valid Unicode: it has half of a surrogate pair") from None
    return prompts


def _names(prompts: Mapping[str, str]) -> str:
    return ", ".join(prompts) or "there are none"
