"""A peer server for each test that asks for one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from peer_server import PeerServer


@pytest.fixture
def peer() -> Iterator[PeerServer]:
    with PeerServer() as server:
        yield server
