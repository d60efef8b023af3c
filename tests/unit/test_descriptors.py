"""The limit on open files: as high as the user may have it."""

from __future__ import annotations

import resource
import subprocess
import sys

import pytest

from bert_serving.server.errors import StartError
from bert_serving.server.transport.descriptors import (
    BESIDE_CLIENTS,
    check_limit,
    connections_within_limit,
    shortage,
)

SCRIPT = """
import resource
from bert_serving.server.transport.descriptors import raise_limit
resource.setrlimit(resource.RLIMIT_NOFILE, ({soft}, {hard}))
raise_limit()
print(*resource.getrlimit(resource.RLIMIT_NOFILE))
"""


def test_the_limit_goes_up_to_the_hard_one() -> None:
    for soft, hard in ((100, 300), (300, 300)):
        command = [sys.executable, "-c", SCRIPT.format(soft=soft, hard=hard)]
        assert subprocess.run(command, capture_output=True, text=True, check=True).stdout.split() == ["300", "300"]


def test_a_limit_too_low_for_the_service_itself_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (64, 64))
    with pytest.raises(StartError, match=r"may have 64 open files, but this server needs 136: .*\(ulimit -n"):
        check_limit(2)
    for limit in (136, resource.RLIM_INFINITY):
        monkeypatch.setattr(resource, "getrlimit", lambda _, limit=limit: (limit, limit))
        check_limit(2)


def test_a_low_limit_leaves_half_of_it_to_connections(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (200, 200))
    assert connections_within_limit(256) == 100
    assert connections_within_limit(64) == 136


def test_a_limit_too_low_for_all_clients_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (1024, 4096))
    assert shortage(500) is None
    told = shortage(10_000)
    assert told is not None
    assert "1024 open files" in told
    assert f"{10_000 + BESIDE_CLIENTS}" in told
    monkeypatch.setattr(resource, "getrlimit", lambda _: (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    assert shortage(10**9) is None
