"""A short run of the chaos on a Ray cluster: each kind of death once or more, and every answer compared."""

from __future__ import annotations

import os
import subprocess
import sys

from folders import TESTS


def test_no_request_is_lost_or_wrong_while_machines_and_actors_die() -> None:
    command = [sys.executable, str(TESTS / "slow" / "chaos" / "ray_deaths.py"), "--seconds", "15"]
    environment = {**os.environ, "PYTHONPATH": str(TESTS / "support")}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=250, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    for death in ("machine removed", "worker killed", "worker of the head killed"):
        assert f"  {death}\n" in done.stdout
