"""Fixtures of all tests: free ports, servers that are closed whatever happens."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from family import Family
from folders import TESTS
from minilm import minilm_folder
from serving import Connect, Serve, fake_config

from bert_serving.client import BertClient
from bert_serving.server import BertServer


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The folder gives each test its marker: unit, service, engine or slow."""
    for item in items:
        item.add_marker(item.path.relative_to(TESTS).parts[0])


@pytest.fixture(scope="session", autouse=True)
def no_graphs_of_earlier_runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Tests build their own graphs, and leave none behind."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Starts servers with the fake engine on free ports and waits until they are ready."""
    with ExitStack() as opened:

        def start(**options: Any) -> BertServer:
            return opened.enter_context(BertServer(fake_config(**options)))

        yield start


@pytest.fixture(scope="session")
def minilm() -> Path:
    """The folder of the real model."""
    return minilm_folder()


@pytest.fixture
def connect() -> Iterator[Connect]:
    """Opens clients of a server."""
    with ExitStack() as opened:

        def open_client(server: BertServer, **options: Any) -> BertClient:
            ports: dict[str, Any] = {"port": server.config.port, "port_out": server.config.port_out}
            return opened.enter_context(BertClient(**ports, **options))

        yield open_client


@pytest.fixture
def family() -> Family:
    """The processes that this test starts."""
    return Family()
