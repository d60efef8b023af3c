"""README.md as the tests read it: its blocks of code, what stands in them for a real server, and its table of options.

`python tests/support/readme.py` writes the table of options anew, from the table in `config.py`.

A block may have comments right above it, which readers of the page do not see:

    <!-- server: OPTIONS -->    the block needs a server that was started with these options; "none" for no server
    <!-- needs: MODULES -->     it is skipped where one of these modules is not installed
    <!-- not run: WHY -->       it is not run at all
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import Field, dataclass, fields
from typing import Any

from folders import GOLDEN, ROOT, TINY, TUNED

from bert_serving.server.config import PoolingStrategy, ServerConfig

README = ROOT / "README.md"

STANDS_FOR = {
    "/models/uncased_L-12_H-768_A-12": str(TINY),
    "/models/tuned": str(TUNED),
    "/models/e5-base-v2": str(GOLDEN / "architectures" / "st_prompts"),
}
"""Folders that the page speaks of, and those that take their place in tests."""

HIDDEN = {"4 * 768": "4 * 48", "768": "48"}
"""The width of vectors on the page, and that of `tiny_bert`; only what is expected is changed."""

_BLOCK = re.compile(r"((?:^<!-- .+? -->\n)*)^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_COMMENT = re.compile(r"<!-- ([\w ]+): (.+?) -->")
_EXPECTED = re.compile(r"^( *)(\S.*?)  # -> (.+)$", re.MULTILINE)
_TABLE = re.compile(r"(<!-- begin of the options.*? -->\n)(.*?)(<!-- end of the options -->)", re.DOTALL)


@dataclass(frozen=True)
class Block:
    """One fenced block. `comments` are those right above it, by their first word."""

    line: int
    language: str
    text: str
    comments: dict[str, str]

    def __str__(self) -> str:
        return f"line-{self.line}"


def blocks(language: str | None = None) -> list[Block]:
    """The fenced blocks of README.md, or those of one language."""
    return [block for block in _blocks(README.read_text("utf-8")) if language in (None, block.language)]


def _blocks(page: str) -> Iterator[Block]:
    for found in _BLOCK.finditer(page):
        line = page.count("\n", 0, found.start(2)) + 1
        yield Block(line, found[2], found[3], dict(_COMMENT.findall(found[1])))


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


# -- the table of options ---------------------------------------------------------------------------------------------

_TYPES = {"bool": "switch", "tuple[int, ...]": "list of int", "PoolingStrategy": "name"}


def option_table() -> str:
    """The options of `bert-serving-start` in Markdown."""
    rows = [_row(option) for option in fields(ServerConfig) if option.metadata]
    return "\n".join(["| Argument | Type | Default | Description |", "|---|---|---|---|", *rows, ""])


def written_option_table() -> str:
    """What stands in README.md now."""
    found = _TABLE.search(README.read_text("utf-8"))
    return found[2] if found else ""


def _row(option: Field[Any]) -> str:
    kind = str(option.type).removesuffix(" | None")
    default = "required" if option.name == "model_dir" else _default(option.default)
    also = ", ".join(f"`-{alias}`" for alias in option.metadata["aliases"])
    text = option.metadata["help"] + (f"; also {also}" if also else "")
    return f"| `{option.name}` | {_TYPES.get(kind, kind)} | {default} | {text} |"


def _default(default: Any) -> str:
    if default is False:
        return "off"
    if default is None or default == ():
        return ""
    if isinstance(default, PoolingStrategy):
        return f"`{default.name}`"
    return f"`{' '.join(map(str, default)) if isinstance(default, tuple) else default}`"


if __name__ == "__main__":
    page = README.read_text("utf-8")
    README.write_text(_TABLE.sub(lambda found: found[1] + option_table() + found[3], page), "utf-8")
