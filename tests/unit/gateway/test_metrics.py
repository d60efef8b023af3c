"""The table of metrics, and what is written about them: the documentation, the alert rules, the Grafana dashboard."""

from __future__ import annotations

import json
import re
import shutil
import subprocess

import pytest
import yaml
from docker_files import DOCKER
from folders import ROOT

from bert_serving.server.gateway.metric_table import EVERYWHERE, METRICS, all_series, as_markdown, family

PAGE = (ROOT / "docs" / "reference" / "metrics.md").read_text("utf-8")
RULES = yaml.safe_load((DOCKER / "alerts.yml").read_text("utf-8"))["groups"][0]["rules"]
OFTEN = {"le", "job", "instance"}
"""Labels that Prometheus itself gives."""


def grafana() -> list[str]:
    panels = json.loads((DOCKER / "grafana" / "dashboard.json").read_text("utf-8"))["panels"]
    return [target["expr"] for panel in panels for target in panel["targets"]]


def test_the_page_has_the_table() -> None:
    assert as_markdown() in PAGE


def test_the_page_tells_of_each_alert() -> None:
    named = re.findall(r"^\| `(Bert\w+)` \|", PAGE, re.MULTILINE)
    assert named == [rule["alert"] for rule in RULES]
    assert len(named) == len(set(named)) > 5


@pytest.mark.parametrize("query", [*grafana(), *(rule["expr"] for rule in RULES)])
def test_a_query_asks_for_what_there_is(query: str) -> None:
    asked = set(re.findall(r"bert_serving_\w+", query))
    assert asked or query.startswith("up{")  # Prometheus's own
    assert asked <= set(all_series())
    labels = {label for one in METRICS.values() for label in one.labels} | set(EVERYWHERE) | OFTEN
    grouped = re.findall(r"(?:by|without|on|ignoring|group_left) ?\(([\w, ]*)\)", query)
    named = {label for group in grouped for label in re.split(", ?", group) if label}
    named |= set(re.findall(r"[{,] ?(\w+)(?:=|!)", query))
    assert named <= labels


def test_prometheus_takes_the_rules() -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("no promtool here: Debian's package prometheus has it")
    checked = subprocess.run([promtool, "check", "config", DOCKER / "prometheus.yml"], capture_output=True, text=True)
    assert checked.returncode == 0, checked.stderr


def test_an_alert_says_what_to_do() -> None:
    for rule in RULES:
        assert rule["labels"]["severity"] in ("critical", "warning")
        assert set(rule["annotations"]) == {"summary", "description"}


def test_each_help_text_is_a_sentence() -> None:
    for one in METRICS.values():
        assert one.text.endswith("."), one.name
        assert family(one.name).documentation == one.text
