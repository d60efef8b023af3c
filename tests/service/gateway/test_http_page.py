"""docs/guide/http.md: each of its examples runs, and says nothing but the truth of what there is."""

from __future__ import annotations

import json
import re
import subprocess

from folders import ROOT
from gateway_support import Browse

PAGE = (ROOT / "docs" / "guide" / "http.md").read_text("utf-8")
PORT = "8125"


def examples() -> list[str]:
    """The commands of the page, each whole."""
    blocks = re.findall(r"^```bash\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    return [command for block in blocks for command in re.split(r"\n(?=curl )", block.strip())]


def test_each_example_runs(browse: Browse) -> None:
    http = browse(model_dir="head", show_tokens_to_client=True)
    commands = examples()
    assert len(commands) > 15
    for command in commands:
        there = command.replace(f"localhost:{PORT}", f"127.0.0.1:{http.base_url.port}")
        done = subprocess.run(["bash", "-c", f"{there} --fail-with-body"], capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, (command, done.stdout)
        json.loads(done.stdout)


def test_each_route_of_the_page_is_there(browse: Browse) -> None:
    paths = browse().get("/openapi.json").json()["paths"]
    table = PAGE.split("\n## ")[0]
    named = [
        route
        for row in re.findall(r"^\| `(?:POST|GET).*?\|", table, re.MULTILINE)
        for route in re.findall(r"/[\w./-]+", row)
    ]
    assert len(named) > 15
    assert [route for route in named if route not in paths] == []
    of_operations = ("/status", "/health", "/metrics", "/v1/models/")
    told = [path for path in paths if not path.startswith(of_operations) and path != "/.well-known/live"]
    assert [path for path in told if path not in named] == []
