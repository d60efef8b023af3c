"""What the packages say of themselves is the same wherever it is said: versions, Python's versions, extras, licence."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import pytest
from folders import ROOT

import bert_serving.client
import bert_serving.server

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

PACKAGES = ("client", "server")


def project(package: str) -> dict[str, Any]:
    found: dict[str, Any] = tomllib.loads((ROOT / package / "pyproject.toml").read_text("utf-8"))["project"]
    return found


def span(specifier: str) -> tuple[int, int | None]:
    """The first and the last minor version of Python 3 in `>=3.A,<3.B`; None for no last one."""
    found = re.fullmatch(r">=3\.(\d+)(?:,<3\.(\d+))?", specifier)
    assert found, specifier
    return int(found[1]), int(found[2]) - 1 if found[2] else None


FIRST, LAST = span(project("server")["requires-python"])


@pytest.mark.parametrize("package", PACKAGES)
def test_supported_versions_of_python(package: str) -> None:
    about = project(package)
    classifiers = re.findall(r"Python :: 3\.(\d+)", " ".join(about["classifiers"]))
    assert LAST is not None
    assert list(map(int, classifiers)) == list(range(FIRST, LAST + 1))
    assert span(about["requires-python"])[0] == FIRST


def test_supported_versions_of_python_everywhere_else() -> None:
    tools = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]
    assert tools["mypy"]["python_version"] == f"3.{FIRST}"
    assert tools["ruff"]["target-version"] == f"py3{FIRST}"
    setup = (ROOT / "setup.py").read_text("utf-8")
    assert f'python_requires="{project("server")["requires-python"]}"' in setup
    for image in (ROOT / "docker").glob("Dockerfile*"):
        used = re.search(r"^FROM python:3\.(\d+)", image.read_text("utf-8"), re.MULTILINE)
        assert used is None or FIRST <= int(used[1]) <= (LAST or 0), image


@pytest.mark.parametrize(
    "page", [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))], ids=str
)
def test_supported_versions_of_python_in_words(page: Path) -> None:
    """Of the packages; who develops needs 3.11, as the Makefile says."""
    text = " ".join(page.read_text("utf-8").split())
    for first, last in re.findall(r"Python 3\.(\d+) (?:to|through|-|–) 3\.(\d+)", text):
        assert int(last) == LAST
        assert int(first) in (FIRST, MAKE_FIRST)
    for first in re.findall(r"Python 3\.(\d+) (?:or|and) (?:later|newer)", text):
        assert int(first) == FIRST


MAKEFILE = (ROOT / "Makefile").read_text("utf-8")
MAKE_FIRST = int(re.findall(r"\(3, (\d+)\) <= v", MAKEFILE)[0])


def test_what_make_needs() -> None:
    assert re.findall(r"\(3, (\d+)\) <= v < \(3, (\d+)\)", MAKEFILE) == [(str(MAKE_FIRST), str((LAST or 0) + 1))]
    assert set(re.findall(r"3\.(\d+) to 3\.(\d+)", MAKEFILE)) == {(str(MAKE_FIRST), str(LAST))}


def test_one_version() -> None:
    version = bert_serving.client.__version__
    assert bert_serving.server.__version__ == version
    assert {project(package)["version"] for package in PACKAGES} == {version}
    assert f"bert-serving-client=={version}" in project("server")["dependencies"]
    assert f'version="{version}"' in (ROOT / "setup.py").read_text("utf-8")


def test_all_has_every_other_extra_but_that_for_gpus() -> None:
    """TensorFlow for CPUs and for GPUs are two packages."""
    extras = project("server")["optional-dependencies"]
    (all_of_them,) = extras["all"]
    named = re.fullmatch(r"bert-serving-server\[(.*)\]", all_of_them)
    assert named
    assert set(named[1].split(",")) == set(extras) - {"all", "gpu"}
    setup = re.search(r"EXTRAS = \((.*)\)", (ROOT / "setup.py").read_text("utf-8"))
    assert setup
    assert set(re.findall(r'"(\w+)"', setup[1])) == set(extras)


@pytest.mark.parametrize("package", PACKAGES)
def test_each_package_brings_the_licence(package: str) -> None:
    assert (ROOT / package / "LICENSE").read_bytes() == (ROOT / "LICENSE").read_bytes()
