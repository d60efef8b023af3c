"""The error of a bulk job."""

from __future__ import annotations

from importlib.util import find_spec


class BulkError(Exception):
    """One sentence for the person who started the job."""


def require(package: str, why: str, extra: str = "bulk") -> None:
    """Raises BulkError if the package is not installed."""
    if find_spec(package) is None:
        raise BulkError(f"{why} needs {package}: pip install 'bert-serving-server[{extra}]'")
