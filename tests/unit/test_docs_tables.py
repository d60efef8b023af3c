"""The tables of the pages are those of the code."""

from __future__ import annotations

import inspect
import re

import options_page
from folders import TESTS
from pages import DOCS

import bert_serving.client
from bert_serving.client import BertClient
from bert_serving.client.base import BaseClient
from bert_serving.server.poolings import PoolingStrategy

CLIENT = (DOCS / "reference" / "client.md").read_text("utf-8")


def test_the_page_of_options_is_up_to_date() -> None:
    written = options_page.PAGE.read_text("utf-8")
    assert written == options_page.page(), "run: python tests/support/options_page.py"


def test_table_of_the_arguments_of_the_client() -> None:
    table = re.search(r"\| Argument \| Type .*?\n\n", CLIENT, re.DOTALL)
    assert table
    written = dict(re.findall(r"^\| `(\w+)` \|[^|]+\| `(.+?)` \|", table[0], re.MULTILINE))
    real = list(inspect.signature(BaseClient).parameters.values())
    assert written == {argument.name: repr(argument.default).replace("10_000", "10000") for argument in real}


def test_signatures_of_methods() -> None:
    methods = re.findall(r"^\| `((\w+)\([^`]*\))` \|", CLIENT, re.MULTILINE)
    assert len(methods) > 8
    for written, name in methods:
        parameters = [
            str(p.replace(annotation=inspect.Parameter.empty))
            for p in inspect.signature(getattr(BertClient, name)).parameters.values()
            if p.name != "self"
        ]
        assert written == f"{name}({', '.join(parameters)})"


def test_table_of_errors() -> None:
    section = CLIENT[CLIENT.index("\n## Errors\n") :]
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


def test_table_of_pooling_strategies() -> None:
    page = (DOCS / "guide" / "pooling.md").read_text("utf-8")
    rows = re.findall(r"^\| ((?:`\w+`(?:, )?)+)(?: \(default\))? \|", page, re.MULTILINE)
    assert {name for row in rows for name in re.findall(r"\w+", row)} == set(PoolingStrategy.__members__)


def test_table_of_packages_that_were_tried() -> None:
    page = (DOCS / "guide" / "http.md").read_text("utf-8")
    tried = dict(re.findall(r"^\| `([\w-]+)` \| ([\d.]+) \|", page, re.MULTILINE))
    pins = dict(
        re.findall(r"^([\w-]+)==([\d.]+)$", (TESTS / "requirements-clients.txt").read_text("utf-8"), re.MULTILINE)
    )
    assert tried == pins
