"""1.10 as published, in environments of its own, for those tests of this folder that speak with it."""

from __future__ import annotations

import pytest
from environments import LEGACY, LEGACY_CLIENT, Missing, Peer, python_of


@pytest.fixture(scope="session")
def legacy_client_python() -> str:
    """An interpreter that has the client of 1.10."""
    return _made(LEGACY_CLIENT)


@pytest.fixture(scope="session")
def legacy_python() -> str:
    """An interpreter that has server and client of 1.10, and TensorFlow 2.15."""
    return _made(LEGACY)


def _made(peer: Peer) -> str:
    try:
        return str(python_of(peer))
    except Missing as missing:
        pytest.skip(str(missing))
