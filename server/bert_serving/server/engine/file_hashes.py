"""Hashes of files by content, cached for later starts because a large model takes seconds. No TensorFlow.

Only the content decides. Inode, ctime and size guard a cached hash: whoever writes to a file changes its ctime, which
nobody can set. A file that was changed just now is hashed again the next time, because its ctime may not show a change
that follows in the same tick.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import time
from pathlib import Path

from bert_serving.server.engine.cache_folder import cache_folder
from bert_serving.server.errors import StartError

log = logging.getLogger(__name__)

MOST_KEPT = 256
SETTLED_S = 2.0
"""A file that was changed less long ago may change again without a trace."""
_BLOCK_BYTES = 1 << 20
_FILE = "hashes.json"


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file's content, in hex. StartError if it cannot be read."""
    try:
        with path.open("rb") as stream:
            about = os.fstat(stream.fileno())
            guard = [about.st_dev, about.st_ino, about.st_ctime_ns, about.st_size]
            name = str(path.resolve())
            kept = _kept()
            if kept.get(name, ([], ""))[0] == guard:
                return kept[name][1]
            is_settled = time.time() - about.st_ctime > SETTLED_S
            digest = hashlib.sha256()
            while block := stream.read(_BLOCK_BYTES):
                digest.update(block)
    except OSError as error:
        raise StartError(f"{path} cannot be read: {error.strerror}") from error
    if is_settled:
        _keep(name, guard, digest.hexdigest())
    return digest.hexdigest()


def _kept() -> dict[str, tuple[list[int], str]]:
    """Guard and hash by path; what is there but is none of ours counts as nothing."""
    folder = cache_folder()
    try:
        content = json.loads((folder / _FILE).read_text()) if folder else {}
        return {name: (list(guard), str(digest)) for name, (guard, digest) in content.items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def _keep(name: str, guard: list[int], digest: str) -> None:
    """A folder that cannot be written to is no error."""
    folder = cache_folder()
    if folder is None:
        return
    kept = _kept()
    kept.pop(name, None)
    kept[name] = (guard, digest)
    partial = folder / f"{_FILE}.{os.getpid()}.partial"
    try:
        partial.write_text(json.dumps(dict(list(kept.items())[-MOST_KEPT:])))
        partial.replace(folder / _FILE)
    except OSError as error:
        log.debug("the hash of %s is not cached for later starts: %s", name, error)
        partial.unlink(missing_ok=True)
