"""`make docs`: the pages as a site, read from files by a browser that asks nobody else."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from folders import ROOT
from pages import DOCS, PAGES, README
from playwright.sync_api import Page, sync_playwright

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
PHONE = 390


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the site, built without a warning."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    quiet = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    subprocess.run(command, cwd=ROOT, env=quiet, check=True, timeout=120)
    return folder


@pytest.fixture(params=[1280, PHONE], ids=["desktop", "phone"])
def page(request: pytest.FixtureRequest) -> Iterator[Page]:
    if CHROMIUM is None:
        pytest.skip("no Chromium here: Debian's package chromium has it")
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser.new_page(viewport={"width": request.param, "height": 800})
        browser.close()


def test_every_page_fits_and_asks_nobody_else(site: Path, page: Page) -> None:
    asked: list[str] = []
    said: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("pageerror", lambda error: said.append(str(error)))
    for source in PAGES:
        if source != README:
            page.goto((site / source.relative_to(DOCS).with_suffix(".html")).as_uri())
            width, room = page.evaluate("[document.documentElement.scrollWidth, document.documentElement.clientWidth]")
            assert width <= room, source
    assert [url for url in asked if not url.startswith(("file:", "data:"))] == []
    assert said == []


def test_the_search_works_from_files(site: Path, page: Page) -> None:
    page.goto((site / "index.html").as_uri())
    size = page.viewport_size
    if size is not None and size["width"] == PHONE:
        page.click("label.md-header__button[for=__search]")
    page.locator("input.md-search__input").press_sequentially("pooling strategies")
    page.wait_for_selector(".md-search-result__item h1")
    assert "Pooling and layers" in page.locator(".md-search-result__item h1").first.inner_text()
