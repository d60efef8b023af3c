"""The images' scripts and steps, as far as they run without Docker; the files are looked at by their own tools."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from docker_files import DOCKER, environment_of
from folders import ROOT

DOCKERFILES = [DOCKER / "Dockerfile", DOCKER / "Dockerfile.gpu"]


def entry_point(*arguments: str, folder: Path, env: dict[str, str]) -> list[str]:
    """What the entry point hands to `bert-serving-start`."""
    (folder / "bert-serving-start").write_text('#!/bin/sh\nfor argument; do echo "$argument"; done\n')
    (folder / "bert-serving-start").chmod(0o755)
    path = {"PATH": f"{folder}:{os.environ['PATH']}"}
    shown = subprocess.run([DOCKER / "entrypoint.sh", *arguments], env={**env, **path}, capture_output=True, text=True)
    assert shown.returncode == 0, shown.stderr
    return shown.stdout.splitlines()


@pytest.mark.parametrize(
    ("given", "handed_on"),
    [
        ([], []),
        (["2"], ["-num_worker", "2"]),
        (["2", "-max_seq_len", "64"], ["-num_worker", "2", "-max_seq_len", "64"]),
        (["-num_worker", "3"], ["-num_worker", "3"]),
    ],
    ids=" ".join,
)
def test_the_first_argument_is_the_number_of_workers(given: list[str], handed_on: list[str], tmp_path: Path) -> None:
    assert entry_point(*given, folder=tmp_path, env={}) == handed_on


@pytest.mark.parametrize("dockerfile", DOCKERFILES, ids=lambda path: path.name)
def test_a_dockerfile_is_sound(dockerfile: Path) -> None:
    text = dockerfile.read_text()
    for source in re.findall(r"^COPY (?:--\S+ )?(.+) \S+$", text, re.MULTILINE):
        assert all((ROOT / path).exists() for path in source.split())
    assert re.search(r"^USER [1-9]", text, re.MULTILINE)
    assert int(environment_of(dockerfile)["BERT_SERVING_DRAIN_TIMEOUT"]) < 10
    hadolint = Path(sys.executable).with_name("hadolint")
    checked = subprocess.run([hadolint, dockerfile], capture_output=True, text=True)
    assert checked.returncode == 0, checked.stdout


def test_what_goes_into_an_image_installs_and_nothing_else_goes() -> None:
    ignored = (DOCKER / "Dockerfile.dockerignore").read_text()
    assert ignored == (DOCKER / "Dockerfile.gpu.dockerignore").read_text()
    assert "\n*\n" in ignored
    extras = (ROOT / "server" / "pyproject.toml").read_text()
    for dockerfile in DOCKERFILES:
        named = re.search(r"/src/server\[(.+?)\]", dockerfile.read_text())
        assert named
        assert all(f"\n{extra} = [" in extras for extra in named[1].split(","))


def test_the_grafana_dashboard_asks_for_metrics_that_exist() -> None:
    dashboard = json.loads((DOCKER / "grafana" / "dashboard.json").read_text())
    asked = set(re.findall(r"bert_serving_\w+", json.dumps(dashboard)))
    source = (ROOT / "server/bert_serving/server/gateway/metrics.py").read_text()
    for name in asked:
        stem = re.sub(r"^bert_serving_(worker_)?|(_total|_sum|_count|_bucket)$", "", name)
        assert stem in source, name
