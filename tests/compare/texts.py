"""Real English text of mixed length: the passages that every contestant gets, in the same order.

Debian's `fortunes` where they are installed. Otherwise what comes with every Python: the docstrings of its standard
library and the chapters of its language reference, each passage a docstring or a paragraph.
"""

from __future__ import annotations

import ast
import importlib
import random
import re
import sysconfig
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path

FORTUNES = Path("/usr/share/games/fortunes")
LEAST = 4000
SHORT_WORDS = 20
"""A sentence has at most so many words; a passage may have any number."""

DOCUMENTS = 100
"""How many of them a query ranks."""

_SEED = 5
_LEAST_WORDS, _MOST_WORDS = 3, 400
_NOT_PROSE = re.compile(r">>>|[-=+*]{4,}|^\W*$")


def passages() -> list[str]:
    """All of them, shuffled by a fixed seed; no passage twice."""
    found = _tidy(_fortunes())
    if len(found) < LEAST:
        found = _tidy([*_docstrings(Path(sysconfig.get_path("stdlib"))), *_topics()])
    random.Random(_SEED).shuffle(found)
    return found


def source() -> str:
    """Where `passages` come from, for the report."""
    return "Debian's fortunes" if any(FORTUNES.glob("*.u8")) else "Python's own documentation strings"


def sentences(texts: Iterable[str]) -> list[str]:
    """Those that are short enough to pass for one sentence."""
    return [text for text in texts if len(text.split()) <= SHORT_WORDS]


def ranking(texts: list[str], number: int) -> tuple[str, list[str]]:
    """The query and the documents of one ranking; others have other documents, until all texts had their turn."""
    short, first = sentences(texts), number * DOCUMENTS
    return short[number % len(short)], [texts[(first + place) % len(texts)] for place in range(DOCUMENTS)]


def word_counts(texts: Iterable[str]) -> dict[str, int]:
    """How long the texts are: percentiles of their numbers of words."""
    counts = sorted(len(text.split()) for text in texts)
    return {f"p{percent}": counts[(len(counts) - 1) * percent // 100] for percent in (10, 50, 90, 99)}


def _tidy(found: Iterable[str]) -> list[str]:
    flat = (" ".join(text.split()) for text in found)
    return list(dict.fromkeys(text for text in flat if _LEAST_WORDS <= len(text.split()) <= _MOST_WORDS))


def _fortunes() -> Iterator[str]:
    for file in sorted(FORTUNES.glob("*.u8")):
        yield from file.read_text("utf-8", errors="ignore").split("\n%\n")


def _docstrings(folder: Path) -> Iterator[str]:
    files = [
        file for file in folder.rglob("*.py") if not {"site-packages", "test", "tests", "idle_test"} & set(file.parts)
    ]
    for file in sorted(files):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of escapes in old modules
                tree = ast.parse(file.read_bytes())
        except (SyntaxError, ValueError):  # lib2to3 brings files that are wrong on purpose
            continue
        for node in ast.walk(tree):
            if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)):
                text = ast.get_docstring(node) or ""
                if not _NOT_PROSE.search(text):
                    yield text


def _topics() -> Iterator[str]:
    topics: dict[str, str] = importlib.import_module("pydoc_data.topics").topics
    for name in sorted(topics):
        yield from (part for part in topics[name].split("\n\n") if not _NOT_PROSE.search(part))
