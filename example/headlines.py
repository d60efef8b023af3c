"""The headlines that several examples encode: 240 invented ones in data/headlines.tsv, 60 for each of four classes."""

from __future__ import annotations

from pathlib import Path

HEADLINES = Path(__file__).resolve().parent / "data" / "headlines.tsv"


def read_headlines() -> tuple[list[str], list[str]]:
    """The headlines, and their classes in the same order."""
    rows = [line.split("\t") for line in HEADLINES.read_text("utf-8").splitlines()]
    return [headline for _, headline in rows], [label for label, _ in rows]
