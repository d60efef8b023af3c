"""Raylets in network namespaces, where this user may make some."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest


def test_three_machines_that_share_no_network() -> None:
    if shutil.which("ip") is None:
        pytest.skip("there is no command ip: install iproute2")
    made = subprocess.run(["ip", "netns", "add", "bert-ray-probe"], capture_output=True, text=True, check=False)
    if made.returncode:
        pytest.skip(f"network namespaces cannot be made here: {made.stderr.strip()}")
    subprocess.run(["ip", "netns", "del", "bert-ray-probe"], check=True)
    script = Path(__file__).with_name("namespaces.py")
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=250, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("good  golden vectors of cpu at 10.213.8.2, actor"), done.stdout
