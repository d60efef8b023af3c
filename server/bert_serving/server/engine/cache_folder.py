"""This user's cache folder, in which a start keeps what later ones can use: graphs, and hashes of weights.

It is `$XDG_CACHE_HOME/bert-serving` or `~/.cache/bert-serving`. A folder that others can write to is not used.
"""

from __future__ import annotations

import logging
import os
from pathlib import Path

log = logging.getLogger(__name__)


def cache_folder(*, tell: bool = False) -> Path | None:
    """The folder, made if need be; None where there is no such folder, and `tell` logs why."""
    level = logging.WARNING if tell else logging.DEBUG
    try:
        folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "bert-serving"
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        about = folder.stat()
    except (OSError, RuntimeError) as error:  # RuntimeError: a user without a home
        log.log(level, "nothing is cached for later starts: %s; set XDG_CACHE_HOME to a writable folder", error)
        return None
    if about.st_uid != os.getuid() or about.st_mode & 0o022:
        log.log(level, "nothing is cached for later starts: other users can write to %s", folder)
        return None
    return folder
