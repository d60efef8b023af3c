"""The images' scripts and steps, as far as they run without Docker; the files are looked at by their own tools."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from docker_files import DOCKER, environment_of
from folders import ROOT
from packaging.requirements import Requirement

from bert_serving.server.version import __version__
from images.constraints import canonical, merged, pins, rendered, unpinned
from images.running import advised_options

DOCKERFILES = [DOCKER / "Dockerfile", DOCKER / "Dockerfile.gpu"]
IMAGES = ("bert-as-service", "bert-as-service-gpu", "bert-as-service-ray")
"""Those that are built from here, and come from no registry."""
PINS = pins((DOCKER / "constraints.txt").read_text())


def complaint(image: str) -> str:
    """What is wrong with how an image is named; nothing if it is one of ours, or named by version and by digest."""
    name, _, tag = image.partition(":")
    if name in IMAGES:
        return "" if tag == __version__ else f"{image} is not of version {__version__}"
    if not re.fullmatch(r"[^@]+@sha256:[0-9a-f]{64}", image):
        return f"{image} has no digest"
    return "" if re.fullmatch(r"v?\d+\.\d+\.\d+(-[a-z-]+)?", tag.split("@")[0]) else f"{image} names no exact version"


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


def test_images_are_named_by_version_and_digest() -> None:
    named = []
    for path in [*DOCKER.rglob("Dockerfile*"), *DOCKER.rglob("*.y*ml")]:
        named += re.findall(r"^(?:FROM|\s*-? *image:) +(\S+)", path.read_text(), re.MULTILINE)
    assert len(named) >= 10
    assert [found for image in named if (found := complaint(image))] == []


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        ("python:latest@sha256:" + "0" * 64, "names no exact version"),
        ("python@sha256:" + "0" * 64, "names no exact version"),
        ("python:3.13-slim@sha256:" + "0" * 64, "names no exact version"),
        ("python:3.13.15-slim-trixie", "has no digest"),
        ("bert-as-service", "is not of version"),
        ("bert-as-service:latest", "is not of version"),
    ],
)
def test_an_image_that_may_change_is_refused(image: str, expected: str) -> None:
    assert expected in complaint(image)


def test_what_an_image_installs_is_pinned() -> None:
    for dockerfile in (*DOCKERFILES, DOCKER / "k8s" / "Dockerfile.ray"):
        steps = [step for step in dockerfile.read_text().replace("\\\n", " ").splitlines() if "pip install" in step]
        assert steps
        assert all("PIP_CONSTRAINT=/src/constraints.txt" in step for step in steps)
    asked: list[str] = []
    for part in ("client", "server"):
        text = (ROOT / part / "pyproject.toml").read_text()
        asked += re.findall(r"^dependencies = \[(.*?)\]$", text, re.MULTILINE | re.DOTALL)
        asked += re.findall(r"^(?:cpu|gpu|http|ray) = \[(.*?)\]$", text, re.MULTILINE | re.DOTALL)
    for requirement in map(Requirement, re.findall(r'"([^"]+)"', " ".join(asked))):
        marker = requirement.marker
        if requirement.name != "bert-serving-client" and (
            marker is None or marker.evaluate({"python_version": "3.13"})
        ):
            assert requirement.specifier.contains(PINS[canonical(requirement.name)]), requirement


def test_versions_of_several_images_go_into_one_file() -> None:
    found = merged(
        [pins("numpy==2.4.6\nPyYAML==6.0.4\n-e /somewhere"), pins("typing_extensions==4.16.0\nnumpy==2.4.6")]
    )
    assert pins(rendered(found)) == {"numpy": "2.4.6", "pyyaml": "6.0.4", "typing-extensions": "4.16.0"} == found
    assert unpinned({"numpy": "2.4.7", "ray": "2.60.0", "pyyaml": "6.0.4"}, found) == ["numpy==2.4.7", "ray==2.60.0"]
    with pytest.raises(ValueError, match=r"one image has numpy 2\.4\.6, another 2\.4\.7"):
        merged([{"numpy": "2.4.6"}, {"numpy": "2.4.7"}])


def test_images_are_run_as_compose_runs_them() -> None:
    expected = "--memory 4g --read-only --tmpfs /tmp --cap-drop ALL --security-opt no-new-privileges"
    assert advised_options() == expected.split()


def test_compose_bounds_memory_and_gives_grafana_no_known_password() -> None:
    services = yaml.safe_load((DOCKER / "compose.yml").read_text())["services"]
    assert all("mem_limit" in service for service in services.values())
    password = services["grafana"]["environment"]["GF_SECURITY_ADMIN_PASSWORD"]
    assert password.startswith("${GRAFANA_PASSWORD:?")  # so compose stops without one


def test_the_cache_is_a_volume_that_the_user_may_write_to() -> None:
    for dockerfile in DOCKERFILES:
        text = dockerfile.read_text()
        cache = environment_of(dockerfile)["XDG_CACHE_HOME"]
        (volumes,) = re.findall(r"^VOLUME (.*)", text, re.MULTILINE)
        assert cache in json.loads(volumes)
        (user,) = re.findall(r"^USER (\d+):", text, re.MULTILINE)
        assert f"install -d -o {user} -g {user} -m 700 {cache}" in text
    service = yaml.safe_load((DOCKER / "compose.yml").read_text())["services"]["bert"]
    assert f"cache:{cache}" in service["volumes"]


def test_what_goes_into_an_image_installs_and_nothing_else_goes() -> None:
    ignored = (DOCKER / "Dockerfile.dockerignore").read_text()
    assert ignored == (DOCKER / "Dockerfile.gpu.dockerignore").read_text()
    assert "\n*\n" in ignored
    extras = (ROOT / "server" / "pyproject.toml").read_text()
    for dockerfile in DOCKERFILES:
        named = re.search(r"/src/server\[(.+?)\]", dockerfile.read_text())
        assert named
        assert all(f"\n{extra} = [" in extras for extra in named[1].split(","))
