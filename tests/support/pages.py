"""README.md and the pages of docs/ as the tests read them: their blocks of code, and what stands in them for a server.

A block may have comments right above it, which readers of the page do not see:

    <!-- server: OPTIONS -->    the block needs a server that was started with these options; "none" for no server
    <!-- needs: MODULES -->     it is skipped where one of these modules is not installed
    <!-- not run: WHY -->       it is not run at all
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from folders import GOLDEN, ROOT, TINY, TUNED

README = ROOT / "README.md"
DOCS = ROOT / "docs"
PAGES = (README, *sorted(DOCS.rglob("*.md")))
REHEARSED = {
    DOCS / "guide" / "http.md": "tests/service/gateway/test_http_page.py",
    DOCS / "guide" / "moving-to-a-new-model.md": "tests/service/gateway/test_moving.py",
}
"""Pages whose blocks have a test of their own."""

ARCHITECTURES = GOLDEN / "architectures"
STANDS_FOR = {
    "/models/uncased_L-12_H-768_A-12": str(TINY),
    "/models/tuned": str(TUNED),
    "/models/e5-base-v2": str(ARCHITECTURES / "st_prompts"),
    "/models/ms-marco-MiniLM-L6-v2": str(ARCHITECTURES / "cross_bert"),
}
"""Folders that the pages speak of, and those that take their place in tests."""

HIDDEN = {"768": "48"}
"""The width of vectors on the pages, and that of `tiny_bert`; only what is expected is changed."""

_BLOCK = re.compile(r"((?:^<!-- .+? -->\n)*)^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_COMMENT = re.compile(r"<!-- ([\w ]+): (.+?) -->")
_EXPECTED = re.compile(r"^( *)(\S.*?)  # -> (.+)$", re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """One fenced block. `comments` are those right above it, by their first word."""

    page: Path
    line: int
    language: str
    text: str
    comments: dict[str, str]

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"

    @property
    def is_run(self) -> bool:
        return "not run" not in self.comments


def blocks(language: str | None = None, pages: Iterable[Path] = PAGES) -> list[Block]:
    """The fenced blocks of these pages, or those of one language."""
    return [block for page in pages for block in blocks_of(page) if language in (None, block.language)]


def blocks_of(page: Path) -> Iterator[Block]:
    text = page.read_text("utf-8")
    for found in _BLOCK.finditer(text):
        line = text.count("\n", 0, found.start(2)) + 1
        yield Block(page, line, found[2], found[3], dict(_COMMENT.findall(found[1])))


def prose(page: Path) -> str:
    """The page without its blocks of code."""
    return re.sub(r"^```.*?^```$", "", page.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)


def replaced(text: str, words: Mapping[str, str]) -> str:
    """The text with each word replaced, all at once."""
    return re.sub("|".join(map(re.escape, words)), lambda found: words[found[0]], text)


def with_ports(text: str, port: int, port_out: int, http_port: int = 8125) -> str:
    """The text with the ports of a running server for those on the page."""
    return replaced(text, {"5555": str(port), "5556": str(port_out), "8125": str(http_port)})


def with_checks(code: str) -> str:
    """Python in which each line `EXPRESSION  # -> VALUE` asserts that they are equal."""

    def check(line: re.Match[str]) -> str:
        return f"{line[1]}_got = {line[2]}\n{line[1]}assert _got == {replaced(line[3], HIDDEN)}, _got"

    return _EXPECTED.sub(check, code)
