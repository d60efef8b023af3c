"""Whose client and server a process runs: with `make compare ARGS='--base ..'` two commits share one environment.

Whoever starts the process puts that commit's `client` and `server` first on PYTHONPATH, and names the folder in
`VARIABLE`; the process checks that it got them. Needs nothing but Python, as it runs in every environment.
"""

from __future__ import annotations

import importlib
import os
from pathlib import Path

VARIABLE = "COMPARE_SOURCES"
"""Environment variable: the folder that has the `client` and `server` to be measured. Any will do if it is not set."""

CLIENT, SERVER = "bert_serving.client", "bert_serving.server"


class WrongSources(Exception):
    """A process runs other sources than it should."""


def paths(folder: Path) -> list[str]:
    """What comes first on PYTHONPATH."""
    return [str(folder / "client"), str(folder / "server")]


def check(*packages: str) -> None:
    """WrongSources if one of them comes from elsewhere than from the folder in `VARIABLE`."""
    folder = os.environ.get(VARIABLE)
    for package in packages if folder else ():
        file = importlib.import_module(package).__file__
        if file is None or not Path(file).resolve().is_relative_to(Path(str(folder)).resolve()):
            raise WrongSources(f"{package} is {file}, which is not in {folder}: PYTHONPATH must name that folder first")


if __name__ == "__main__":
    check(CLIENT, SERVER)
