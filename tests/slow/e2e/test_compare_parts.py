"""The parts of `make compare` that take seconds: all its texts, and messages of two commits side by side."""

from __future__ import annotations

from pathlib import Path

import pytest
from folders import ROOT

from compare import rows_base, texts
from compare.commits import Commit
from compare.setup import Setup, Sizes


def test_texts_are_many_of_mixed_length_and_always_the_same() -> None:
    found = texts.passages()
    counts = texts.word_counts(found)
    assert len(found) == len(set(found)) >= texts.LEAST
    assert 12 <= counts["p50"] <= 25
    assert counts["p90"] >= 55
    assert found == texts.passages()


def test_texts_without_fortunes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(texts, "FORTUNES", tmp_path)
    assert len(texts.passages()) >= texts.LEAST
    assert texts.source() == "Python's own documentation strings"


def test_messages_of_two_commits_are_measured_side_by_side(tmp_path: Path) -> None:
    sizes = Sizes(messages=8, message_bulks=1, message_calls=1)
    setup = Setup(rounds=1, sizes=sizes, folder=tmp_path)
    setup.passages = ["one two three"] * sizes.messages
    commits = {side: Commit(side, ROOT) for side in rows_base.SIDES}
    found = rows_base.rows(setup, {12}, commits)
    assert [row.number for row in found] == ["12a", "12b", "12c", "12d"]
    for row in found:
        assert row.figures is not None
        assert [side.name for side in (row.figures.base, row.figures.ours, row.figures.again)] == list(rows_base.SIDES)
        assert all(value > 0 for side in (row.figures.base, row.figures.ours) for value in side.figures)
        assert len(row.figures.again.figures) == 1
        assert row.verdict is not None
