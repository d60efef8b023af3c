"""Real servers for the blocks of the pages, with small models."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pages
import pytest
from command import Command

MOST_SERVERS = 3
"""Each holds a model in memory."""


@pytest.fixture(scope="session")
def real_paths(minilm: Path) -> Callable[[str], str]:
    """Puts folders that exist in the place of those that the pages speak of."""
    folders = {**pages.STANDS_FOR, "/models/all-MiniLM-L6-v2": str(minilm)}
    return lambda text: pages.replaced(text, folders)


@pytest.fixture(scope="session")
def server_with(real_paths: Callable[[str], str]) -> Iterator[Callable[[str], Command]]:
    """A ready server with the given options; the last few that were asked for stay up."""
    servers: dict[str, tuple[Command, ExitStack]] = {}

    def get(options: str) -> Command:
        if options in servers:
            servers[options] = servers.pop(options)  # the last one now
            return servers[options][0]
        if len(servers) == MOST_SERVERS:
            servers.pop(next(iter(servers)))[1].close()
        model = "" if "-model_dir" in options else "-model_dir /models/uncased_L-12_H-768_A-12"
        with ExitStack() as running:
            server = running.enter_context(Command(*real_paths(f"{options} {model} -cpu").split()))
            servers[options] = server.wait_until_ready(), running.pop_all()
        return server

    yield get
    for _, running in servers.values():
        running.close()


@pytest.fixture(autouse=True)
def in_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing may depend on the folder that one stands in."""
    monkeypatch.chdir(tmp_path)
