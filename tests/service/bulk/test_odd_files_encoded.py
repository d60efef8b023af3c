"""`bert-serving-encode` over files as people have them: a vector for each text that a person sees, or the cure."""

from __future__ import annotations

import re
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fake_engine import vector_of
from odd_files import GOOD, REFUSED

from bert_serving.server.cli import encode
from bert_serving.server.service.server import BertServer

OPTIONS = {"format": "-input_format"}
SHORT_GOOD = [row for row in GOOD if row[3] and len(row[3]) < 1000 and max(map(len, row[3])) < 1000]


@pytest.fixture(autouse=True)
def signals_stay() -> Iterator[None]:
    """The command sets handlers, which here are the test's own."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def run(
    server: BertServer, monkeypatch: pytest.MonkeyPatch, path: Path, content: bytes, how: dict[str, Any], *more: str
) -> int:
    """The command's exit status; it encodes by the running server."""
    path.write_bytes(content)
    ports = ["-port", str(server.config.port), "-port_out", str(server.config.port_out)]
    options = [word for name, value in how.items() for word in (OPTIONS.get(name, f"-{name}"), value)]
    out = str(path.parent / "out.npy")
    monkeypatch.setattr(sys, "argv", ["bert-serving-encode", str(path), out, *ports, *options, *more])
    with pytest.raises(SystemExit) as ended:
        encode.main()
    return int(ended.value.code or 0)


@pytest.mark.parametrize(("name", "content", "how", "texts"), SHORT_GOOD, ids=[row[0] for row in SHORT_GOOD])
def test_a_vector_for_each_text(
    server: BertServer,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    name: str,
    content: bytes,
    how: dict[str, Any],
    texts: list[str],
) -> None:
    assert run(server, monkeypatch, tmp_path / name, content, how) == 0
    np.testing.assert_array_equal(np.load(tmp_path / "out.npy"), [vector_of(text) for text in texts])


@pytest.mark.parametrize(("name", "content", "how", "cure"), REFUSED, ids=[row[0] for row in REFUSED])
def test_no_vectors_but_the_cure(
    server: BertServer,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    name: str,
    content: bytes,
    how: dict[str, Any],
    cure: str,
) -> None:
    assert run(server, monkeypatch, tmp_path / name, content, how) == 1
    assert re.search(cure, capfd.readouterr().err)
    assert not (tmp_path / "out.npy").exists()
