"""The files of `docker/` as tests read them."""

from __future__ import annotations

import re
from pathlib import Path

from folders import ROOT

DOCKER = ROOT / "docker"


def environment_of(dockerfile: Path) -> dict[str, str]:
    """What its ENV sets."""
    block = re.search(r"^ENV ((?:.*\\\n)*.*)", dockerfile.read_text(), re.MULTILINE)
    assert block
    return dict(pair.split("=", 1) for pair in block[1].replace("\\\n", " ").split())
