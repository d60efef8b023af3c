"""The folder of this user alone in which starts leave what later ones can use: graphs, and hashes of weights.

It is `$XDG_CACHE_HOME/bert-serving` or `~/.cache/bert-serving`. A folder that others can write to is not used.
"""

from __future__ import annotations

import logging
import os
from pathlib import Path

log = logging.getLogger(__name__)


def cache_folder() -> Path | None:
    """The folder, made if need be; None where there is no such folder."""
    try:
        folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "bert-serving"
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        about = folder.stat()
    except (OSError, RuntimeError) as error:  # RuntimeError: a user without a home
        log.debug("no folder to keep anything in: %s", error)
        return None
    if about.st_uid != os.getuid() or about.st_mode & 0o022:
        log.warning("%s is not used to keep graphs: others than this user can write to it", folder)
        return None
    return folder
