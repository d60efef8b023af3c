"""Graphs of earlier starts, so that a second start with the same model and options need not build its graph again.

A graph is found by the content of the model, not by its path or its time. Without a `cache_folder` nothing is kept: a
graph can hold any operation, so nobody else may write there.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import platform
import shutil
import time
from dataclasses import asdict
from importlib.metadata import distributions
from pathlib import Path

from bert_serving.server.config import ServerConfig
from bert_serving.server.engine.cache_folder import cache_folder
from bert_serving.server.engine.cpu import cpu_flags
from bert_serving.server.engine.fingerprint import ModelContent
from bert_serving.server.engine.graph_file import is_whole

log = logging.getLogger(__name__)

_SUFFIX = ".graph"

PARTIAL_S = 3600.0
"""A file that was begun so long ago is written by nobody any more."""

MOST_GRAPHS = 8
"""Kept at once; the one that was used longest ago goes first."""


def graph_key(config: ServerConfig, content: ModelContent) -> str:
    """Names the graph of that content for these options, with this code and this TensorFlow on this machine.

    The number type counts as it was asked for: what `-dtype auto` finds is found by the graph that is kept.
    """
    versions = sorted(
        (name, found.version) for found in distributions() if (name := found.metadata["Name"]).startswith("tensorflow")
    )
    code = [hashlib.sha256(module.read_bytes()).hexdigest() for module in sorted(Path(__file__).parent.rglob("*.py"))]
    machine = [code, versions, platform.processor(), cpu_flags()]
    about = [content.fingerprint(config, config.dtype), config.cpu, config.xla, asdict(config.facts)]
    return hashlib.sha256(json.dumps([machine, about]).encode()).hexdigest()[:32]


def find(key: str) -> Path | None:
    """The graph of that name, if all of it is kept."""
    folder = cache_folder(tell=True)
    path = folder / f"{key}{_SUFFIX}" if folder else None
    if path is None or not is_whole(path):
        return None
    os.utime(path)
    return path


def held(kept: Path, folder: str | None) -> Path:
    """A kept file under a name in the folder of a run, which stays if later starts drive it out of the cache.

    Where that cannot be, the file itself.
    """
    if folder is None:
        return kept
    path = Path(folder) / kept.name
    try:
        os.link(kept, path)
    except OSError:  # another disk, or one without such links
        return kept
    return path


def keep(key: str, graph: Path) -> None:
    """Keep the file `graph` under another name, or on another disk a copy; nobody may change it from now on.

    A disk that is full or a folder that cannot be made is no error.
    """
    folder = cache_folder()
    if folder is None:
        return
    partial = folder / f"{key}.{os.getpid()}.partial"
    partial_is_left_before_s = time.time() - PARTIAL_S
    try:
        try:
            os.link(graph, partial)
        except OSError:  # another disk, or one without such links
            shutil.copyfile(graph, partial)
        partial.replace(folder / f"{key}{_SUFFIX}")
        kept = [*folder.glob(f"*{_SUFFIX}"), *folder.glob("*.pb")]  # .pb: by an earlier version
        for old in sorted(kept, key=lambda path: path.stat().st_mtime)[:-MOST_GRAPHS]:
            old.unlink(missing_ok=True)
        for left in folder.glob("*.partial"):  # by a start that was killed
            if left.stat().st_mtime < partial_is_left_before_s:
                left.unlink(missing_ok=True)
    except OSError as error:
        log.warning("the graph is not cached for later starts: %s", error)
        partial.unlink(missing_ok=True)
