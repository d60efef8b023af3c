"""The dashboard and the API's description, as a browser and a fuzzer see them."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
from collections.abc import Iterator

import httpx
import pytest
from axe_playwright_python.sync_playwright import Axe
from fake_engine import OTHER
from gateway_command import GatewayCommand, address
from gateway_support import wait_until_ready
from playwright.sync_api import Browser, Page, Route, expect, sync_playwright
from ports import free_ports
from serving import Serve, fake_config

from bert_serving.server import BertServer

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
DESKTOP, PHONE = 1440, 390
PATIENCE_MS = 60_000
BLUE = "rgb(31, 98, 204)"
"""The colour of a similarity of 1, on a light page."""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("no Chromium here: Debian's package chromium has it")
    expect.set_options(timeout=PATIENCE_MS)
    with sync_playwright() as play:
        opened = play.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def http() -> Iterator[httpx.Client]:
    """Of a server whose model has a head, and two workers, so that it stays ready when one dies."""
    (port,) = free_ports(1)
    config = fake_config(model_dir="head", num_worker=2, min_worker=1, http_port=port, http_host="127.0.0.1")
    with BertServer(config), httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
        yield wait_until_ready(client)


class Seen:
    """A page, what it said to the console, and whom it asked."""

    def __init__(self, browser: Browser, url: str, width: int = DESKTOP, scheme: str = "light") -> None:
        context = browser.new_context(viewport={"width": width, "height": 900})
        context.set_default_timeout(PATIENCE_MS)
        self.page: Page = context.new_page()
        self.page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
        self.said: list[str] = []
        self.asked: list[str] = []
        self.page.on("console", lambda message: self.said.append(message.text))
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.goto(url)

    def is_ready(self) -> Page:
        expect(self.page.locator("#state")).to_have_text("Ready")
        expect(self.page.locator("#set div").first).to_be_visible()
        return self.page

    def close(self) -> None:
        self.page.context.close()


@pytest.fixture
def seen(http: httpx.Client, browser: Browser) -> Iterator[Seen]:
    opened = Seen(browser, f"{http.base_url}/")
    opened.is_ready()
    yield opened
    opened.close()


def compare(page: Page, *texts: str) -> None:
    page.check("#tasks input[value=compare]")
    page.fill("#texts", "\n".join(texts))
    page.click("#go")
    expect(page.locator("#results td").first).to_be_visible()


def findings(page: Page) -> list[str]:
    """What axe has to say against it."""
    found = Axe().run(page).response["violations"]
    return [f"{one['id']}: {node['html']} {node['failureSummary']}" for one in found for node in one["nodes"]]


def process(http: httpx.Client, name: str) -> int:
    processes = http.get("/status/server").json()["processes"]
    return int(next(one["pid"] for one in processes if one["name"] == name))


# -- what it shows ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("width", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_it_lives_and_asks_nobody_else(http: httpx.Client, browser: Browser, width: int) -> None:
    seen = Seen(browser, f"{http.base_url}/", width)
    page = seen.is_ready()
    compare(page, "one", "two", "one")
    http.post("/encode", json={"texts": ["a"] * 50})
    line = page.locator("[data-chart=sentences_per_s] path.line")
    expect(line).to_have_attribute("d", re.compile("L"))
    assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    assert seen.said == []
    assert all(url.startswith((f"{http.base_url}", "data:")) for url in seen.asked)
    box, chart = page.locator("#try").bounding_box(), page.locator("[data-chart]").first.bounding_box()
    assert box
    assert chart
    assert (box["y"] < chart["y"]) is (width == PHONE), "on a phone the box to try it is above the charts"
    seen.close()


def test_the_header_tells_what_runs(http: httpx.Client, seen: Seen) -> None:
    status = http.get("/status/server").json()
    page = seen.page
    assert page.inner_text("#model") == "head"
    assert page.locator("#fingerprint").get_attribute("title") == status["model"]["fingerprint"]
    assert page.inner_text("#version") == status["version"]
    assert page.inner_text("#device") == "2 × cpu"
    assert re.fullmatch(r"(\d+ min )?\d+ s", page.inner_text("#uptime"))
    hrefs = [link.get_attribute("href") for link in page.locator("nav a").all()]
    assert [http.get(f"/{href}").status_code for href in hrefs] == [200, 200]
    assert page.title() == "ready – head"


def test_settings_have_the_names_of_options_those_that_were_set_first(seen: Seen) -> None:
    names = seen.page.locator("#set dt").all_inner_texts()
    assert {"-model_dir", "-num_worker", "-min_worker"} <= set(names)
    assert "-max_seq_len" not in names
    seen.page.click("text=All other options")
    values = dict(line.split("\n", 1) for line in seen.page.locator("#unset div").all_inner_texts())
    assert values["-pooling_strategy"] == "REDUCE_MEAN"
    assert values["-pooling_layer"] == "-2"
    assert values["-fp16"] == "no"


def test_charts_have_axes_and_a_crosshair_with_values(http: httpx.Client, seen: Seen) -> None:
    http.post("/encode", json={"texts": ["a"] * 50})
    page = seen.page
    chart = page.locator("[data-chart='p50_ms,p95_ms,p99_ms']")
    expect(chart.locator("path.line").first).to_have_attribute("d", re.compile("M"))
    texts = chart.locator("svg text").all_text_contents()
    assert any(re.fullmatch(r"\d\d:\d\d(:\d\d)?", text) for text in texts)
    assert "0" in texts
    chart.locator("svg").first.hover()
    for legend in page.locator(".legend").all():
        assert re.search(r"\d\d:\d\d:\d\d$", legend.inner_text())
    assert page.locator(".crosshair").count() == page.locator("[data-chart]").count()
    page.mouse.move(0, 0)
    assert page.locator(".crosshair").count() == 0
    chart.locator("svg").first.focus()
    page.keyboard.press("ArrowLeft")
    assert page.locator(".crosshair").count() == page.locator("[data-chart]").count()
    page.keyboard.press("Escape")
    assert page.locator(".crosshair").count() == 0


def test_figures_of_requests_are_there_only_after_some(http: httpx.Client, seen: Seen) -> None:
    http.post("/encode", json={"texts": ["!slow 0.2 a"]})
    page = seen.page
    expect(page.locator("#median")).to_have_text(re.compile(r"\d (ms|s)$"))
    expect(page.locator("#p95")).to_have_text(re.compile(r"^95% within .*, last minute$"))
    expect(page.locator("#clients")).to_have_text("0")  # the gateway's own are none
    expect(page.locator("#open")).to_have_text("0 requests")


# -- the box to try it ------------------------------------------------------------------------------------------------


def test_equal_texts_have_the_full_colour_of_a_fixed_scale(seen: Seen) -> None:
    compare(seen.page, "one", "one")
    cells = seen.page.locator("#results td[title]")
    assert cells.all_inner_texts() == ["1.00"] * 4
    colours = {cell.evaluate("cell => getComputedStyle(cell).backgroundColor") for cell in cells.all()}
    assert colours == {BLUE}


def test_it_works_says_so_and_what_was_left_out(seen: Seen) -> None:
    page = seen.page
    held: list[Route] = []
    page.route("**/encode", lambda route: held.append(route))
    page.check("#tasks input[value=compare]")
    page.fill("#texts", "\n".join(f"text {number}" for number in range(15)))
    page.press("#texts", "Control+Enter")
    expect(page.locator("#go")).to_have_text("Working…")
    assert page.locator("#go").is_disabled()
    page.press("#texts", "Control+Enter")  # nothing more is asked meanwhile
    held[0].continue_()
    expect(page.locator("#noted")).to_have_text("The first 12 of 15 texts were taken; 3 left out.")
    expect(page.locator("#go")).to_be_enabled()
    assert len(held) == 1
    assert page.locator("#results td[title]").count() == 144


def test_views_are_compared_side_by_side(seen: Seen) -> None:
    page = seen.page
    page.check("#tasks input[value=compare]")
    page.click("#options summary")
    page.click("#add-view")
    page.locator(".pooling").nth(1).select_option("REDUCE_MAX")
    page.locator(".layers").nth(1).fill("-2 -3")
    page.locator(".dimensions").nth(1).fill("6")
    with page.expect_response("**/encode") as answered:
        page.click("#go")
    assert [len(vectors[0]) for vectors in answered.value.json()["results"]] == [8, 6]
    expect(page.locator("#results caption").nth(1)).to_have_text("pooling REDUCE_MAX, layers -2,-3, dimensions 6")
    page.locator(".layers").nth(1).fill("-9")
    page.click("#go")
    expect(page.locator("#said")).to_have_text(re.compile("layer"))
    page.click("text=Remove")
    page.click("#go")
    expect(page.locator("#results table")).to_have_count(1)
    expect(page.locator("#said")).to_be_hidden()


def test_a_model_with_a_head_ranks(http: httpx.Client, seen: Seen) -> None:
    page = seen.page
    assert page.is_checked("#tasks input[value=rank]")
    page.fill("#query", "where?")
    page.fill("#texts", "here\nthere\nnowhere")
    page.click("#go")
    expect(page.locator("#results tbody tr")).to_have_count(3)
    wanted = http.post("/rerank", json={"query": "where?", "documents": ["here", "there", "nowhere"]}).json()["results"]
    rows = page.locator("#results tbody tr").all_inner_texts()
    assert [row.split()[1:] for row in rows] == [
        [f"{one['relevance_score']:.3f}", one["document"]["text"]] for one in wanted
    ]


# -- accessibility ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_axe_finds_nothing(http: httpx.Client, browser: Browser, width: int, scheme: str) -> None:
    seen = Seen(browser, f"{http.base_url}/", width, scheme)
    page = seen.is_ready()
    http.post("/encode", json={"texts": ["a"] * 9})
    compare(page, *"abcdefghij", "a")
    page.click("#options summary")
    page.click("text=All other options")
    page.evaluate("document.activeElement.blur()")
    assert findings(page) == []
    page.check("#tasks input[value=rank]")
    page.fill("#texts", "")
    page.click("#go")
    expect(page.locator("#said")).to_be_visible()
    assert findings(page) == []
    seen.close()


# -- what goes wrong --------------------------------------------------------------------------------------------------


def test_a_restart_is_marked(http: httpx.Client, seen: Seen) -> None:
    os.kill(process(http, "worker-1"), signal.SIGKILL)
    page = seen.page
    expect(page.locator("#restarts")).to_have_text(
        re.compile(r"Restarted in the last hour: worker-1 at \d\d:\d\d:\d\d")
    )
    assert page.locator(".restart").count() == page.locator("[data-chart]").count()
    expect(page.locator("#state")).to_have_text("Ready")


def test_a_lost_connection_is_seen_and_ends(http: httpx.Client, seen: Seen) -> None:
    page = seen.page
    icon = page.locator("#icon").get_attribute("href")
    page.route("**/events", lambda route: route.abort())
    os.kill(process(http, "gateway"), signal.SIGKILL)
    banner = page.locator("#banner")
    expect(banner).to_have_text(
        re.compile(r"No connection to the server. All figures are of \d\d:\d\d:\d\d, \d+ s ago.")
    )
    expect(page.locator("body.lost")).to_have_count(1)
    assert page.title() == "no connection – head"
    assert page.locator("#icon").get_attribute("href") != icon
    for width in (DESKTOP, PHONE):
        page.set_viewport_size({"width": width, "height": 900})
        page.emulate_media(color_scheme="light")
        assert findings(page) == []
        page.emulate_media(color_scheme="dark")
        assert findings(page) == []
    page.unroute("**/events")
    expect(banner).to_be_hidden()  # the supervisor has started another one
    seen.is_ready()
    assert page.title() == "ready – head"
    assert page.locator("body.lost").count() == 0
    expect(page.locator("#restarts")).to_have_text(re.compile("gateway at"))


def test_a_service_that_is_silent_has_old_figures(http: httpx.Client, seen: Seen) -> None:
    ventilator = process(http, "ventilator")
    os.kill(ventilator, signal.SIGSTOP)
    banner = seen.page.locator("#banner")
    expect(banner).to_have_text(re.compile(r"The service does not answer. All figures are of \S+, \d+ s ago."))
    os.kill(ventilator, signal.SIGCONT)
    expect(banner).to_be_hidden()


def test_a_browser_can_give_a_key(serve: Serve, browser: Browser) -> None:
    (port,) = free_ports(1)
    serve(http_port=port, http_host="127.0.0.1", http_api_key="sesame")
    url = f"http://127.0.0.1:{port}/"
    with httpx.Client(base_url=url) as client:
        wait_until_ready(client)
    page = browser.new_context(http_credentials={"username": "", "password": "sesame"}).new_page()
    answer = page.goto(url)
    assert answer
    assert answer.status == 200
    expect(page.locator("#state")).to_have_text("Ready")
    page.click("#go")
    expect(page.locator("#results td").first).to_be_visible()
    page.context.close()
    stranger = browser.new_context(http_credentials={"username": "", "password": "wrong"}).new_page()
    answer = stranger.goto(url)
    assert answer
    assert answer.status == 401
    stranger.context.close()


def test_of_several_models_one_is_chosen(browser: Browser, serve: Serve) -> None:
    models = [f"{name}={address(serve(model_dir=folder))}" for name, folder in (("mini", "fake"), ("rerank", OTHER))]
    with GatewayCommand("-model", *models) as gateway, gateway.client() as http:
        wait_until_ready(http)
        seen = Seen(browser, f"{http.base_url}/")
        page = seen.is_ready()
        assert page.locator("#models option").all_inner_texts() == ["mini", "rerank"]
        assert page.input_value("#models") == "mini"
        page.select_option("#models", "rerank")
        page.wait_for_url("**/?model=rerank")
        seen.is_ready()
        assert page.input_value("#models") == "rerank"
        assert page.inner_text("#model") == OTHER
        with page.expect_request("**/encode") as asked:
            page.click("#go")
        assert json.loads(asked.value.post_data or "")["model"] == "rerank"
        expect(page.locator("#results td").first).to_be_visible()
        assert seen.said == []
        seen.close()


# -- /docs ------------------------------------------------------------------------------------------------------------


def test_the_description_is_shown_without_the_internet(http: httpx.Client, browser: Browser) -> None:
    seen = Seen(browser, f"{http.base_url}/docs")
    page = seen.page
    expect(page.locator(".opblock-summary-description").first).to_have_text("Encode texts, with every option")
    for block in page.locator(".opblock-post").all():
        block.locator(".opblock-summary-control").click()
        block.locator(".try-out__btn").click()
    assert page.locator(".errors-wrapper").count() == 0
    links = page.locator(".info .renderedMarkdown a").evaluate_all("links => links.map(link => link.href)")
    assert links == [f"{http.base_url}/", f"{http.base_url}/metrics"]
    assert page.locator(".auth-wrapper").count() == 0
    encode = page.locator(".opblock-post").first
    with page.expect_response("**/encode") as answered:
        encode.locator(".execute").click()
    assert [len(vector) for vector in answered.value.json()["results"]] == [8, 8]
    assert seen.said == []
    assert all(url.startswith((f"{http.base_url}", "data:")) for url in seen.asked), seen.asked
    seen.close()


def test_a_key_can_be_given_to_the_description(serve: Serve, browser: Browser) -> None:
    (port,) = free_ports(1)
    serve(http_port=port, http_host="127.0.0.1", http_api_key="sesame")
    url = f"http://127.0.0.1:{port}"
    with httpx.Client(base_url=url) as client:
        wait_until_ready(client)
    page = browser.new_context(http_credentials={"username": "", "password": "sesame"}).new_page()
    page.goto(f"{url}/docs")
    page.click(".auth-wrapper .authorize")
    page.locator(".auth-container input[type=text]").first.fill("sesame")
    page.locator(".auth-container .authorize").first.click()
    page.click(".btn-done")
    encode = page.locator(".opblock-post").first
    encode.locator(".opblock-summary-control").click()
    encode.locator(".try-out__btn").click()
    with page.expect_request("**/encode") as asked:
        encode.locator(".execute").click()
    assert asked.value.all_headers()["authorization"] == "Bearer sesame"
    page.context.close()
