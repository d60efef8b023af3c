"""docs/reference/options.md, as the table in `config.py` and the parsers of the commands have it.

`python tests/support/options_page.py` writes the page anew; tests/unit/test_docs_tables.py holds it to them.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable
from dataclasses import Field, fields
from pathlib import Path
from typing import Any

from folders import ROOT

from bert_serving.server.benchmark.arguments import get_benchmark_parser
from bert_serving.server.cli.encode import get_encode_parser
from bert_serving.server.config import ServerConfig
from bert_serving.server.options import get_args_parser, get_gateway_parser, get_shutdown_parser
from bert_serving.server.poolings import PoolingStrategy

PAGE = ROOT / "docs" / "reference" / "options.md"

_HEAD = """\
# All commands and options

<!-- Written by `python tests/support/options_page.py` from the options themselves: change those, and run it again. -->

Each command prints its options with `--help`. An option begins with one dash or two, and its name may have hyphens
instead of underscores. Each option of `bert-serving-start` can also be an environment variable, in capitals and with
`BERT_SERVING_` before it: `BERT_SERVING_NUM_WORKER=2`, `BERT_SERVING_CPU=1`. The command line wins.

"""
_ABOUT = {
    "bert-serving-start": "Starts a server. See [Get started](../guide/getting-started.md).",
    "bert-serving-terminate": "Stops a server. See [Who may stop the server]"
    "(../guide/security.md#who-may-stop-the-server).",
    "bert-serving-encode": "Turns files of texts into files of vectors. It takes the arguments `IN` and `OUT`, all "
    "options of `bert-serving-start`, and these. See [Encode files of texts](../guide/bulk.md).",
    "bert-serving-gateway": "Serves HTTP for services that already run. It takes these options, and those of "
    "`bert-serving-start` that begin with `http_`, `openai_token_ids`, `cors`, `drain_timeout` and `verbose`; "
    "`-http_port` is 8125 by default. See [One HTTP port for several models](../guide/gateway.md).",
    "bert-serving-benchmark": "Measures a server. It takes all options of `bert-serving-start`, and these. "
    "`-model_dir` may be left out with `-target`. Without `-port`, the servers that it starts take free ports. See "
    "[Measure a server](../guide/benchmark.md).",
    "bert-serving-verify": "Compares a server's vectors with a reference. It takes the options of "
    "`bert-serving-start`. See [Check a server's vectors](../guide/verify.md).",
    "bert-serving-keygen": "Makes keys: `bert-serving-keygen FOLDER NAME ..` makes the server's keys, if there are "
    "none yet, and those of the named clients. See [Give out keys](../guide/security.md#give-out-keys).",
}
_OTHERS: dict[str, Callable[[], argparse.ArgumentParser]] = {
    "bert-serving-terminate": get_shutdown_parser,
    "bert-serving-encode": get_encode_parser,
    "bert-serving-gateway": get_gateway_parser,
    "bert-serving-benchmark": get_benchmark_parser,
}
_COLUMNS = ["| Option | Type | Default | Description |", "|---|---|---|---|"]
_TYPES = {
    "bool": "switch",
    "tuple[int, ...]": "list of int",
    "tuple[str, ...]": "list of str",
    "PoolingStrategy": "name",
}


def page() -> str:
    """The whole page, in Markdown."""
    parts = [_HEAD + _section("bert-serving-start", []).rstrip()]
    groups: dict[str, list[str]] = {}
    for option in fields(ServerConfig):
        if option.metadata:
            groups.setdefault(option.metadata["group"], []).append(_row(option))
    for title, rows in groups.items():
        parts.append("\n".join([f"### {_title(title)}", "", *_COLUMNS, *rows]))
    parts.append("\n".join(["### Other switches", "", *_COLUMNS, *_rows_of(_only_of_start())]))
    shared = {action.dest for action in get_args_parser()._actions}
    for command in [name for name in _ABOUT if name != "bert-serving-start"]:
        parser = _OTHERS.get(command)
        known = {"version"} if command == "bert-serving-terminate" else shared
        actions = [a for a in parser()._actions if a.dest not in known] if parser else []
        parts.append(_section(command, _rows_of(actions)).rstrip())
    return "\n\n".join(parts) + "\n"


def _section(command: str, rows: list[str]) -> str:
    table = ["", *_COLUMNS, *rows] if rows else []
    return "\n".join([f"## {command}", "", _ABOUT[command], *table])


def _title(group: str) -> str:
    """A heading whose anchor is the same wherever the page is read."""
    return group.replace(":", ",").replace(" -", " ")


def _only_of_start() -> list[argparse.Action]:
    names = {option.name for option in fields(ServerConfig)}
    return [action for action in get_args_parser()._actions if action.dest not in names]


def _row(option: Field[Any]) -> str:
    kind = str(option.type).removesuffix(" | None")
    default = "required" if option.name == "model_dir" else _default(option.default)
    also = ", ".join(f"`-{alias}`" for alias in option.metadata["aliases"])
    text = option.metadata["help"] + (f"; also {also}" if also else "")
    return f"| `{option.name}` | {_TYPES.get(kind, kind)} | {default} | {text} |"


def _rows_of(actions: Iterable[argparse.Action]) -> list[str]:
    return [_row_of(action) for action in actions if action.option_strings and action.dest != "help"]


def _row_of(action: argparse.Action) -> str:
    default = "required" if action.required else _default(action.default)
    name, *aliases = dict.fromkeys(flag.lstrip("-") for flag in action.option_strings)
    text = (action.help or "").replace("%%", "%").replace("|", "\\|")
    text = text.replace(f" (default: {default.strip('`')})", "")
    if action.choices and not all(str(choice) in text for choice in action.choices):
        text += f": {', '.join(map(str, action.choices))}"
    if aliases:
        text += f"; also {', '.join(f'`-{alias}`' for alias in aliases)}"
    return f"| `{name}` | {_kind(action)} | {default} | {text} |"


def _kind(action: argparse.Action) -> str:
    if action.nargs == 0:
        return "switch"
    kind = action.type
    if kind in (int, float):
        name = kind.__name__
    elif isinstance(action.default, tuple) and action.default:
        name = type(action.default[0]).__name__
    elif isinstance(action.default, (int, float)):
        name = type(action.default).__name__
    elif action.dest == "port":
        name = "int"
    else:
        name = "float" if action.dest.endswith("_rate") else "str"
    return f"list of {name}" if action.nargs in ("*", "+") else name


def _default(default: Any) -> str:
    if default is False:
        return "off"
    if default in (None, (), argparse.SUPPRESS):
        return ""
    if isinstance(default, PoolingStrategy):
        return f"`{default.name}`"
    if isinstance(default, Path):
        return f"`{default}`"
    return f"`{' '.join(map(str, default)) if isinstance(default, tuple) else default}`"


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
