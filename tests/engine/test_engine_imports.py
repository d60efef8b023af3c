"""Importing the engine does not load TensorFlow, which takes seconds."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import importlib, pkgutil, sys
import bert_serving.server.engine as engine
for module in pkgutil.iter_modules(engine.__path__):
    importlib.import_module(f"{engine.__name__}.{module.name}")
found = {"tensorflow", "keras"} & set(sys.modules)
sys.exit(f"loaded: {found}" if found else 0)
"""


def test_no_tensorflow_at_import() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
