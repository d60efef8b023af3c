"""Where the files lie that tests read."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "example"
TESTS = ROOT / "tests"
SUPPORT = TESTS / "support"
GOLDEN = TESTS / "golden"
TINY, TUNED = GOLDEN / "tiny_bert", GOLDEN / "tiny_bert_tuned"
"""The small model of which 1.10's vectors are kept, and what it was fine-tuned to."""
