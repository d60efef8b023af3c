"""Real servers for the blocks of README.md, with a small model."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import readme
from command import Command


@pytest.fixture(scope="session")
def real_paths(minilm: Path) -> Callable[[str], str]:
    """Puts folders that exist in the place of those that the page speaks of."""
    folders = {**readme.STANDS_FOR, "/models/all-MiniLM-L6-v2": str(minilm)}
    return lambda text: readme.replaced(text, folders)


@pytest.fixture(scope="module")
def server_with(real_paths: Callable[[str], str]) -> Iterator[Callable[[str], Command]]:
    """A ready server with the given options; the one with no options stays up, and one other."""
    servers: dict[str, tuple[Command, ExitStack]] = {}

    def get(options: str) -> Command:
        if options not in servers:
            for other in [other for other in servers if other]:
                servers.pop(other)[1].close()
            model = "" if "-model_dir" in options else "-model_dir /models/uncased_L-12_H-768_A-12"
            running = ExitStack()
            server = running.enter_context(Command(*real_paths(f"{options} {model} -cpu").split()))
            servers[options] = server, running
            server.wait_until_ready()
        return servers[options][0]

    yield get
    for _, running in servers.values():
        running.close()


@pytest.fixture(autouse=True)
def in_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing may depend on the folder that one stands in."""
    monkeypatch.chdir(tmp_path)
