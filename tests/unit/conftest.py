"""Key folders, and the log, for the tests of what reads and writes them."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from bert_serving.server.log import ROOT
from bert_serving.server.transport.curve import make_keys


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    """A folder with keys of alice and of an administrator."""
    make_keys(tmp_path / "keys", ["alice", "admin-eve"])
    return tmp_path / "keys"


@pytest.fixture
def clients(keys: Path) -> Path:
    return keys / "clients"


@pytest.fixture
def logs_are_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that ran in this process before keeps its log to itself."""
    monkeypatch.setattr(logging.getLogger(ROOT), "propagate", True)
