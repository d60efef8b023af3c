"""The processes that a test started, apart from those that other tests keep running."""

from __future__ import annotations

import psutil


class Family:
    """Descendants of this process that were not there when this object was made."""

    def __init__(self) -> None:
        self._before = set(_alive())

    def members(self) -> list[psutil.Process]:
        return [process for process in _alive() if process not in self._before]


def _alive() -> list[psutil.Process]:
    found: list[psutil.Process] = psutil.Process().children(recursive=True)
    return [process for process in found if process.is_running() and process.status() != psutil.STATUS_ZOMBIE]
