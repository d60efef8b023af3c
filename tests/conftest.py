"""Fixtures of all tests: free ports, servers that are closed whatever happens."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
from family import Family
from folders import TESTS
from gateway_support import wait_until_ready
from hypothesis import settings
from minilm import minilm_folder
from ports import free_ports
from serving import Connect, Serve, fake_config, ports_of
from xdist.scheduler import LoadScopeScheduling

from bert_serving.client import BertClient
from bert_serving.server import BertServer

pytest_plugins = ["model_fixtures"]


def pytest_configure() -> None:
    """A shell lets what it starts in the background ignore SIGINT, nohup SIGHUP, and so would all that tests start."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


# no verdict hangs on how fast the machine is just now
settings.register_profile("without a clock", deadline=None)
settings.load_profile("without a clock")

SHARING = ("tests/slow/docs", "tests/slow/ray_cluster")
"""Folders whose files share what is dear: servers with a real model, a Ray cluster."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The folder gives each test its marker: unit, service, engine or slow."""
    for item in items:
        item.add_marker(item.path.relative_to(TESTS).parts[0])


class ByFile(LoadScopeScheduling):  # type: ignore[misc]
    """The tests of a file go to one process of pytest-xdist, and so do those of a folder that shares."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.split("::")[0]
        return next((folder for folder in SHARING if file.startswith(folder)), file)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> ByFile:
    return ByFile(config, log)


@pytest.fixture(scope="session", autouse=True)
def no_graphs_of_earlier_runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Tests build their own graphs, and leave none behind."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def server() -> Iterator[BertServer]:
    """The server with the fake engine of all tests that need nothing of their own; none of them may harm it."""
    with BertServer(fake_config(num_worker=2)) as shared:
        yield shared


@pytest.fixture(scope="session")
def http() -> Iterator[httpx.Client]:
    """A client of the server with HTTP that all tests share which need nothing of their own."""
    (port,) = free_ports(1)
    with (
        BertServer(fake_config(http_port=port, http_host="127.0.0.1")),
        httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as http,
    ):
        yield wait_until_ready(http)


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
            return opened.enter_context(BertClient(**ports_of(server), **options))

        yield open_client


@pytest.fixture
def family() -> Family:
    """The processes that this test starts."""
    return Family()
