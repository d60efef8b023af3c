"""The published clients of 1.10 under load, as the process that starts them sees it."""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from folders import TESTS

SCRIPT = TESTS / "slow" / "compat" / "legacy_load.py"


class LegacyLoad:
    """A process with clients of 1.10; `python` is an interpreter that has them, see `environments.LEGACY_CLIENT`.

    `counts` says what became of their requests, once `wait` has returned; names in brackets are no requests.
    """

    def __init__(
        self, python: str, ports: dict[str, Any], texts: Sequence[str], vectors: Any, **options: float
    ) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="legacy-load-")
        Path(self._folder.name, "texts.json").write_text(json.dumps(list(texts)))
        np.save(Path(self._folder.name, "vectors.npy"), vectors)
        where = [str(ports["port"]), str(ports["port_out"]), self._folder.name, json.dumps(options)]
        self._process = subprocess.Popen([python, "-I", str(SCRIPT), *where], stdout=subprocess.PIPE, text=True)
        self.counts: Counter[str] = Counter()
        self.slowest_s = 0.0

    def wait(self, timeout_s: float) -> None:
        """Until all requests were asked. Raises CalledProcessError, TimeoutExpired."""
        try:
            said, _ = self._process.communicate(timeout=timeout_s)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.communicate()
            raise
        finally:
            self._folder.cleanup()
        if self._process.returncode:
            raise subprocess.CalledProcessError(self._process.returncode, self._process.args)
        content = json.loads(said.splitlines()[-1])
        self.counts.update(content["counts"])
        self.slowest_s = content["slowest_s"]
