"""Small files of a model's folder: opened, read as JSON, and named if they are missing or broken. No TensorFlow."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, BinaryIO

from bert_serving.server.errors import StartError

POINTER = b"version https://git-lfs.github.com/"
"""What Git LFS leaves in the place of a file begins like this."""


def opened(path: Path) -> BinaryIO:
    """A file of a model, for reading. Raises StartError."""
    try:
        return path.open("rb")
    except OSError as error:
        raise StartError(f"{path} cannot be read: {error.strerror}") from error


def refuse_pointer(path: Path, content: bytes) -> None:
    """Raises StartError if a file begins like what Git LFS leaves in the place of one that was not fetched."""
    if content.startswith(POINTER):
        raise StartError(
            f"{path} is a Git LFS pointer, not the file itself: run git lfs pull in its folder, or download it again"
        )


def read_json(path: Path, kind: type = dict) -> Any:
    """The JSON value in a file, which must be of the given kind; StartError if it is not."""
    try:
        content = path.read_bytes()
        refuse_pointer(path, content)
        value = json.loads(content.decode("utf-8"))
    except FileNotFoundError:
        raise StartError(f"{path} is missing: it is expected in the model's folder") from None
    except OSError as error:
        raise StartError(f"{path} cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise StartError(f"{path} is not valid JSON ({error}): copy the file again") from error
    if not isinstance(value, kind):
        raise StartError(f"{path} must hold a JSON {'object' if kind is dict else 'list'}: copy the file again")
    return value
