"""docs/guide/moving-to-a-new-model.md, run step by step while clients ask without a break."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from command import FakeCommand
from fake_engine import OTHER, fingerprint_of
from folders import ROOT
from gateway_command import GatewayCommand
from gateway_support import wait_until_ready
from model_load import ASKING, Load
from pages import replaced
from serving import fake_config

PAGE = ROOT / "docs" / "guide" / "moving-to-a-new-model.md"
OLD, NEW = fingerprint_of(fake_config()), fingerprint_of(fake_config(model_dir=OTHER))
STEP = re.compile(r"^## (\d)", re.MULTILINE)
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks_of(step: int) -> list[tuple[str, str]]:
    """Language and text of each block of a step."""
    _, *parts = STEP.split(PAGE.read_text("utf-8"))
    texts = dict(zip(map(int, parts[::2]), parts[1::2], strict=True))
    return BLOCK.findall(texts[step])


@pytest.fixture
def services() -> Iterator[tuple[FakeCommand, FakeCommand]]:
    """The old one and the new one."""
    with FakeCommand() as old, FakeCommand(model_dir=OTHER) as new:
        old.wait_until_ready()
        new.wait_until_ready()
        yield old, new


class Steps:
    """Takes the steps of the page: writes its files and runs its commands, with the ports of this test."""

    def __init__(self, services: tuple[FakeCommand, FakeCommand], folder: Path) -> None:
        ports = [str(port) for service in services for port in (service.port, service.port_out)]
        self._words = dict(zip(("5555", "5556", "5557", "5558"), ports, strict=True)) | {"localhost": "127.0.0.1"}
        self.file = folder / "models.toml"
        self._folder = folder
        self._gateway: GatewayCommand | None = None

    def start(self) -> GatewayCommand:
        """Step 1."""
        (_, table), (_, commands) = blocks_of(1)
        self.file.write_text(replaced(table, self._words))
        start, kept = commands.splitlines()
        name, *options = shlex.split(start.removesuffix("&"))
        assert (name, kept) == ("bert-serving-gateway", "GATEWAY=$!")
        assert options == ["-models", "models.toml", "-http_port", "8125"]
        self._gateway = GatewayCommand("-models", str(self.file))
        return self._gateway

    def take(self, step: int) -> list[str]:
        """What its blocks of commands printed."""
        assert self._gateway is not None
        said = []
        for language, text in blocks_of(step):
            if language == "toml":
                self.file.write_text(replaced(text, self._words))
                continue
            words = {"localhost": "127.0.0.1", "8125": str(self._gateway.http_port)}
            about = {"GATEWAY": str(self._gateway.pid), "OLD": OLD, "NEW": NEW}
            ran = subprocess.run(
                ["bash", "-ec", replaced(text, words)],
                capture_output=True,
                text=True,
                timeout=60,
                env={**os.environ, **about},
                cwd=self._folder,
                check=True,
            )
            said.append(ran.stdout)
            if "kill -HUP" in text:
                self._gateway.wait_for_line("the models are now")
        return said


@pytest.mark.skipif(shutil.which("curl") is None, reason="no curl here")
def test_the_page(services: tuple[FakeCommand, FakeCommand], tmp_path: Path) -> None:
    steps = Steps(services, tmp_path)
    with steps.start() as gateway, gateway.client() as http:
        wait_until_ready(http)
        anybody, search = Load(http, "mini"), Load(http, "mini", expect=OLD)
        with anybody.running():
            with search.running():
                header, answer = steps.take(2)
                assert header.lower().split() == ["x-fingerprint:", OLD]
                assert json.loads(answer)["status"] == 200

                steps.take(3)
                assert anybody.wait_for(40).keys() == {OLD}
                (first, second) = http.get("/status/server?model=mini").json(), http.get("/v1/models/mini").json()
                assert (first["model_dir"], second["fingerprints"]) == ("fake", [OLD])

                _, models, answer = steps.take(4)
                assert json.loads(models)["data"][0]["fingerprints"] == [OLD, NEW]
                anybody.wait_for(2 * ASKING)
                found = anybody.wait_for(100)
                assert 0.05 < found[NEW] / sum(found.values()) < 0.15
                assert json.loads(answer)["status"] == 200
                search.wait_for(40)
            assert search.counts.keys() == {OLD}

            with Load(http, "mini", expect=NEW).running():
                steps.take(5)
                anybody.wait_for(2 * ASKING)
                assert anybody.wait_for(40).keys() == {NEW}
        late = http.post("/encode", json={"texts": ["a"]}, headers={"X-Expect-Fingerprint": OLD})
        assert (late.status_code, OLD in late.text, NEW in late.text) == (409, True, True)
        assert sum(anybody.counts.values()) + sum(search.counts.values()) > 200
        services[0].stop(signal.SIGTERM)
        assert services[0].wait_for_end() == 0
        assert http.post("/encode", json={"texts": ["a"]}).status_code == 200
        gateway.stop()
        assert gateway.wait_for_end() == 0
