"""The name of a model, as people and programs see it: in /v1/models, in answers, in the status, on the dashboard.

If the folder's name says nothing, as `/model` in a container, the name is taken from its config.
"""

from __future__ import annotations

import json
import re
from pathlib import Path, PurePath

from bert_serving.server.config import ServerConfig

_CONFIGS = ("config.json", "0_Transformer/config.json")
_CACHED = re.compile(r"models--(.+)")
"""A folder in the cache of Hugging Face, above `snapshots/HASH`."""
_SAVED_AS = re.compile(r"[\w.-]*\w[\w.-]*(/[\w.-]*\w[\w.-]*)?")
"""NAME or ORGANIZATION/NAME, and not a path."""
_GENERIC = re.compile(
    r"models?|bert|bert_model|snapshots?|checkpoints?|checkpoint-\d+|ckpt|weights|data|outputs?|out|results?|exports?"
    r"|saved_model|best|final|last|latest|current|main|\d+|[0-9a-f]{40}|[\s.]*",
    re.IGNORECASE,
)
"""Names of folders that name no model."""


def model_name(config: ServerConfig) -> str:
    """`-model_name`, or what the model's folder says; the same for whoever asks."""
    if config.model_name is not None:
        return config.model_name
    try:
        folder = Path(config.model_dir).resolve()
    except OSError:  # the working folder is gone
        folder = Path(config.model_dir)
    name = name_of(folder, _saved_as(folder))
    return "".join(letter if letter.isprintable() else "?" for letter in name)  # a folder's may be any bytes


def name_of(folder: PurePath, saved_as: str) -> str:
    """Of a model in `folder`, an absolute path. `saved_as` is the `_name_or_path` of its config, empty without one."""
    return _name_in(folder) or _name_in_config(saved_as) or folder.name.strip() or "model"


def _name_in_config(saved_as: str) -> str:
    path = PurePath(saved_as.replace("\\", "/"))
    is_name = _SAVED_AS.fullmatch(saved_as) and len(path.parts) == 2 and not _GENERIC.fullmatch(path.parts[0])
    return saved_as if is_name else _name_in(path)


def _name_in(path: PurePath) -> str:
    """Of a path: that of the cache, or its last part; empty if that names nothing."""
    for part in reversed(path.parts):
        if cached := _CACHED.fullmatch(part):
            return cached[1].replace("--", "/", 1)
    return "" if _GENERIC.fullmatch(path.name) else path.name


def _saved_as(folder: Path) -> str:
    for name in _CONFIGS:
        try:
            values = json.loads((folder / name).read_bytes())
        except (OSError, ValueError, RecursionError):  # whoever loads the model says what is wrong
            continue
        found = values.get("_name_or_path") if isinstance(values, dict) else None
        if isinstance(found, str):
            return found if found.isprintable() else ""
    return ""
