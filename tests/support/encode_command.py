"""`bert-serving-encode` as a person runs it, in a folder with the file in.txt."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

from bert_serving.server import BertServer

ENCODE = [sys.executable, "-m", "bert_serving.server.cli.encode"]
TEXTS = [f"text {number}" for number in range(2500)]
Done = subprocess.CompletedProcess[str]


def where(server: BertServer) -> list[str]:
    """The options that name this server."""
    return ["-port", str(server.config.port), "-port_out", str(server.config.port_out)]


class Encode:
    """The command in this folder; in.txt has TEXTS."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        (folder / "in.txt").write_text("\n".join(TEXTS))

    def __call__(self, *arguments: str, **about: Any) -> Done:
        command = [*ENCODE, *arguments]
        return subprocess.run(command, cwd=self._folder, capture_output=True, text=True, timeout=120, **about)
