"""Links, anchors and sizes of README.md and the pages of docs/."""

from __future__ import annotations

import re
import unicodedata
from pathlib import Path

import pytest
import yaml
from folders import ROOT
from pages import DOCS, PAGES, README, prose

FOLDERS = ("client", "server", "docker", "example")
BESIDE = (ROOT / "CHANGELOG.md", *sorted(page for folder in FOLDERS for page in (ROOT / folder).rglob("*.md")))
LINKING = (*PAGES, *BESIDE)
MOST_OF_README = 10 * 1024
MOST_OF_A_PAGE = 25 * 1024


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


def headings(page: Path) -> list[str]:
    """As they are read: links and code are their text."""
    lines = re.findall(r"^#{1,6} (.+?)\s*$", prose(page), re.MULTILINE)
    return [re.sub(r"\[(.+?)\]\(.+?\)", r"\1", line).replace("`", "") for line in lines]


def on_github(heading: str) -> str:
    """Its anchor on GitHub."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def on_the_site(heading: str) -> str:
    """Its anchor as MkDocs makes it."""
    ascii_only = unicodedata.normalize("NFKD", heading).encode("ascii", "ignore").decode()
    return re.sub(r"[-\s]+", "-", re.sub(r"[^\w\s-]", "", ascii_only).strip().lower())


def links(page: Path) -> list[str]:
    """Where its links and images lead, except out of the repository."""
    found = re.findall(r"\]\(([^)\s]+)\)", prose(page))
    return [link for link in found if not re.match(r"https?:", link)]


@pytest.mark.parametrize("page", LINKING, ids=name_of)
def test_links_lead_somewhere(page: Path) -> None:
    for link in links(page):
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        assert target.is_relative_to(ROOT), link
        if anchor:
            assert anchor in {on_github(heading) for heading in headings(target)}, link


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_anchors_are_the_same_on_github_and_on_the_site(page: Path) -> None:
    anchors = [on_github(heading) for heading in headings(page)]
    assert anchors == [on_the_site(heading) for heading in headings(page)]
    assert len(set(anchors)) == len(anchors), "two headings of one page have the same anchor"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_a_page_has_one_title_and_is_not_long(page: Path) -> None:
    assert len(re.findall(r"^# ", prose(page), re.MULTILINE)) == 1
    assert page.stat().st_size <= (MOST_OF_README if page == README else MOST_OF_A_PAGE)


def test_the_navigation_lists_each_page_once() -> None:
    def leaves(entry: object) -> list[str]:
        if isinstance(entry, dict):
            return [leaf for value in entry.values() for leaf in leaves(value)]
        if isinstance(entry, list):
            return [leaf for value in entry for leaf in leaves(value)]
        return [str(entry)]

    nav = re.search(r"^nav:\n(?:  .*\n)+", (ROOT / "mkdocs.yml").read_text("utf-8"), re.MULTILINE)
    assert nav
    listed = leaves(yaml.safe_load(nav[0])["nav"])
    assert sorted(listed) == sorted(str(page.relative_to(DOCS)) for page in PAGES if page != README)


def test_every_picture_is_shown_somewhere() -> None:
    shown = {(page.parent / link).resolve() for page in LINKING for link in links(page)}
    pictures = {path for path in DOCS.rglob("*") if path.suffix in (".png", ".svg")}
    assert pictures - shown == set()
