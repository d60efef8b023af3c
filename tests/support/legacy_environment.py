"""bert-serving-client 1.10.0 as published, in an environment of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path


def legacy_client_python(folder: Path) -> str:
    """An interpreter that has it; BERT_LEGACY_CLIENT names one, else it is made in `folder`."""
    if given := os.environ.get("BERT_LEGACY_CLIENT"):
        return given
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    install = [str(folder / "bin/pip"), "install", "-q", "--disable-pip-version-check"]
    subprocess.run([*install, "bert-serving-client==1.10.0", "pyzmq", "numpy"], check=True)
    return str(folder / "bin/python")
