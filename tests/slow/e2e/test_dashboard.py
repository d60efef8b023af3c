"""The dashboard and the API's description, as a browser and a fuzzer see them."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import httpx
import pytest
from playwright.sync_api import Browser, sync_playwright

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@pytest.fixture
def browser() -> Iterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("no Chromium here: Debian's package chromium has it")
    with sync_playwright() as play:
        opened = play.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.mark.parametrize("width", [1280, 390], ids=["desktop", "phone"])
def test_the_dashboard_lives_and_asks_nobody_else(http: httpx.Client, browser: Browser, width: int) -> None:
    page = browser.new_page(viewport={"width": width, "height": 800}, bypass_csp=True)
    said: list[str] = []
    asked: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(f"{http.base_url}/")
    page.wait_for_selector("#state.good")
    page.click("button")
    page.wait_for_selector("#matrix td")
    assert page.locator("#matrix td").count() == 16
    assert page.locator("#matrix td").first.inner_text() == "1.00"
    http.post("/encode", json={"texts": ["a"] * 50})
    page.wait_for_function(
        "document.querySelector('[data-chart=sentences_per_s] path').getAttribute('d').includes('L')"
    )
    assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    assert said == []
    assert all(url.startswith(f"{http.base_url}") for url in asked)


def test_the_description_is_shown_without_the_internet(http: httpx.Client, browser: Browser) -> None:
    page = browser.new_page()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(f"{http.base_url}/docs")
    page.wait_for_selector(".opblock-summary-path")
    assert all(url.startswith(f"{http.base_url}") or url.startswith("data:") for url in asked), asked
