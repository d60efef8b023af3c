"""The tables of README.md are those of the code."""

from __future__ import annotations

import inspect
import re

import readme

import bert_serving.client
from bert_serving.client import BertClient
from bert_serving.client.base import BaseClient
from bert_serving.server.benchmark.arguments import get_benchmark_parser
from bert_serving.server.options import get_args_parser


def test_table_of_options() -> None:
    assert readme.written_option_table() == readme.option_table(), "run: python tests/support/readme.py"


def test_table_of_options_of_the_benchmark() -> None:
    page = readme.README.read_text("utf-8")
    section = page[page.index("\n## bert-serving-benchmark\n") : page.index("\n## BertClient\n")]
    written = dict(re.findall(r"^\| `(\w+)` \| (.*?) ?\|", section, re.MULTILINE))
    of_server = set(vars(get_args_parser().parse_args(["-model_dir", "M"])))
    real = {name: value for name, value in vars(get_benchmark_parser().parse_args([])).items() if name not in of_server}
    assert written.pop("test_pooling_layer") == "`-1` to `-12`"
    assert real.pop("test_pooling_layer") == tuple(range(-1, -13, -1))
    shown = {name: " ".join(map(str, value)) if isinstance(value, tuple) else value for name, value in real.items()}
    assert written == {name: f"`{value}`" if value not in (None, "") else "" for name, value in shown.items()}


def test_table_of_the_arguments_of_the_client() -> None:
    page = readme.README.read_text("utf-8")
    table = re.search(r"\| Argument \| Type .*?\n\n", page[page.index("\n## BertClient\n") :], re.DOTALL)
    assert table
    written = dict(re.findall(r"^\| `(\w+)` \|[^|]+\| `(.+?)` \|", table[0], re.MULTILINE))
    real = list(inspect.signature(BaseClient).parameters.values())
    assert written == {argument.name: repr(argument.default).replace("10_000", "10000") for argument in real}


def test_signatures_of_methods() -> None:
    page = readme.README.read_text("utf-8")
    for written, name in re.findall(r"^\| `((\w+)\([^`]*\))` \|", page, re.MULTILINE):
        parameters = [
            str(p.replace(annotation=inspect.Parameter.empty))
            for p in inspect.signature(getattr(BertClient, name)).parameters.values()
            if p.name != "self"
        ]
        assert written == f"{name}({', '.join(parameters)})"


def test_table_of_errors() -> None:
    page = readme.README.read_text("utf-8")
    section = page[page.index("\n## Errors\n") : page.index("\n## Coming from 1.10\n")]
    written = {
        name: set(re.findall(r"`(\w+)`", bases))
        for name, bases in re.findall(r"^\| `(\w+)` \|(.*?)\|", section, re.MULTILINE)
    }
    base = bert_serving.client.BertServingError
    errors = [
        value for value in vars(bert_serving.client).values() if isinstance(value, type) and issubclass(value, base)
    ]
    real = {error.__name__: {kind.__name__ for kind in error.__bases__} - {base.__name__} for error in errors}
    assert written == {name: bases for name, bases in real.items() if name != base.__name__}


def test_links_within_the_page() -> None:
    page = re.sub(r"^```.*?^```$", "", readme.README.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
    titles = re.findall(r"^#+ (.+)$", page, re.MULTILINE)
    anchors = {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}
    assert set(re.findall(r"\]\(#([^)]+)\)", page)) <= anchors
