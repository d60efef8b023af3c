"""What tests of the service's processes share."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def socket_folder(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where this test's servers make their folders. Its path is short: the kernel takes sockets' paths of 107 bytes."""
    with tempfile.TemporaryDirectory(prefix="bert-") as folder:
        monkeypatch.setenv("ZEROMQ_SOCK_TMP_DIR", folder)
        yield Path(folder)
