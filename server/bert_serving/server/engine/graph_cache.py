"""Graphs of earlier starts, so that a second start with the same model and options need not build its graph again.

They are in a folder of this user alone, `$XDG_CACHE_HOME/bert-serving` or `~/.cache/bert-serving`; a folder that others
can write to is not used, for a graph can hold any operation. Where there is no such folder nothing is kept.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import platform
import shutil
from importlib.metadata import distributions
from pathlib import Path

from bert_serving.server.config import ServerConfig
from bert_serving.server.engine.bundle import TextSide
from bert_serving.server.engine.cpu import cpu_flags
from bert_serving.server.engine.model_folder import ModelFolder

log = logging.getLogger(__name__)

MOST_GRAPHS = 8
"""Kept at once; the one that was used longest ago goes first."""

_OPTIONS = (
    "max_seq_len", "pooling_layer", "pooling_strategy", "mask_cls_sep", "no_position_embeddings", "num_labels",
    "normalize", "cpu", "fp16", "dtype", "xla", "cased_tokenization",
)  # fmt: skip
"""What a graph depends on, or what `-dtype auto` finds out by."""


def graph_key(config: ServerConfig, model: ModelFolder) -> str:
    """Names the graph of these weights, vocabulary and options, with this TensorFlow on this machine."""
    files = sorted(path for prefix in model.weights for path in prefix.parent.glob(f"{prefix.name}*"))
    weights = [(str(path.resolve()), path.stat().st_size, path.stat().st_mtime_ns) for path in files]
    versions = sorted(
        (name, found.version) for found in distributions() if (name := found.metadata["Name"]).startswith("tensorflow")
    )
    status = config.as_status()
    code = [hashlib.sha256(module.read_bytes()).hexdigest() for module in sorted(Path(__file__).parent.glob("*.py"))]
    about = [code, versions, platform.processor(), cpu_flags(), weights, repr(model.shape)]
    about.append(TextSide.of_folder(config, model).to_json())
    return hashlib.sha256(json.dumps([about, [status[name] for name in _OPTIONS]]).encode()).hexdigest()[:32]


def find(key: str) -> Path | None:
    """The graph of that name, if it is kept."""
    folder = _folder()
    path = folder / f"{key}.pb" if folder else None
    if path is None or not path.is_file():
        return None
    os.utime(path)
    return path


def keep(key: str, graph: Path) -> None:
    """Keep a copy of the file `graph`; a disk that is full or a folder that cannot be made is no error."""
    folder = _folder()
    if folder is None:
        return
    partial = folder / f"{key}.{os.getpid()}.partial"
    try:
        shutil.copyfile(graph, partial)
        partial.replace(folder / f"{key}.pb")
        for old in sorted(folder.glob("*.pb"), key=lambda path: path.stat().st_mtime)[:-MOST_GRAPHS]:
            old.unlink(missing_ok=True)
    except OSError as error:
        log.debug("the graph is not kept for later starts: %s", error)
        partial.unlink(missing_ok=True)


def _folder() -> Path | None:
    try:
        folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "bert-serving"
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        about = folder.stat()
    except (OSError, RuntimeError) as error:  # RuntimeError: a user without a home
        log.debug("no folder for graphs: %s", error)
        return None
    if about.st_uid != os.getuid() or about.st_mode & 0o022:
        log.warning("%s is not used to keep graphs: others than this user can write to it", folder)
        return None
    return folder
