"""Virtual environments of others than this project: 1.10 as published, the peers of `make compare`, and the packages by
which `make clients` asks a server.

Each is made once, under .venv-peers/ or .venv-clients/, with what it needs and nothing else. One that cannot be
installed raises `Missing` with the reason, which a test is skipped with and the table of the comparison shows in place
of a figure.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from folders import ROOT, TESTS

FOLDER = ROOT / ".venv-peers"
INSTALL_TIMEOUT_S = 1800

# From PyPI torch brings CUDA along, gigabytes that nothing here uses. To have the build for CPUs:
# PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu make compare
_TORCH = ("torch==2.13.0", "transformers", "tokenizers", "numpy")


class Missing(Exception):
    """Something cannot be measured here; the text says why."""


@dataclass(frozen=True)
class Peer:
    """An environment of that name. `versions` are those of Python that its packages are made for."""

    name: str
    packages: tuple[str, ...]
    versions: tuple[tuple[int, int], ...]
    shown: tuple[str, ...]
    """The distributions whose versions the report names."""
    folder: Path = FOLDER


_RECENT = ((3, 10), (3, 11), (3, 12), (3, 13))
_LEGACY = (
    "tensorflow-cpu==2.15.1",
    "tensorflow-estimator==2.15.0",
    "numpy<2",
    "pyzmq",
    "GPUtil",
    "termcolor",
    "six",
    "setuptools<81",  # later ones have no pkg_resources
    "bert-serving-server==1.10.0",
    "bert-serving-client==1.10.0",
)
_OF_TENSORFLOW_2_15 = ((3, 9), (3, 10), (3, 11))

LEGACY = Peer("legacy", _LEGACY, _OF_TENSORFLOW_2_15, ("bert-serving-server", "bert-serving-client", "tensorflow-cpu"))
LEGACY_CLIENT = Peer("legacy-client", ("bert-serving-client==1.10.0", "pyzmq", "numpy"), _RECENT, ())
TORCH = Peer("torch", _TORCH, _RECENT, ("torch", "transformers"))
ONNXRUNTIME = Peer(
    "onnxruntime", (*_TORCH, "onnx", "onnxscript", "onnxruntime", "sympy"), _RECENT, ("onnxruntime", "onnx")
)
CTRANSLATE2 = Peer("ctranslate2", (*_TORCH, "ctranslate2"), _RECENT, ("ctranslate2",))
SENTENCE_TRANSFORMERS = Peer(
    "sentence-transformers", (*_TORCH, "sentence-transformers==6.2.0"), _RECENT, ("sentence-transformers", "torch")
)
INFINITY = Peer(
    "infinity",
    ("torch==2.13.0", "infinity-emb[server,torch]==0.0.78", "transformers<5"),
    _RECENT[:3],
    ("infinity-emb", "torch", "transformers"),
)

_PINS = tuple(
    line
    for line in (TESTS / "requirements-clients.txt").read_text("utf-8").splitlines()
    if line and not line.startswith("#")
)
CLIENTS = Peer("clients", _PINS, _RECENT[1:], tuple(pin.split("==")[0] for pin in _PINS), ROOT / ".venv-clients")


def python_of(peer: Peer) -> Path:
    """The interpreter of a peer's environment, which is made if it is not there.

    BERT_LEGACY_VENV names one with server and client of 1.10 that exists already.
    """
    given = os.environ.get("BERT_LEGACY_VENV")
    if given and peer in (LEGACY, LEGACY_CLIENT):
        return Path(given) / "bin" / "python"
    venv = peer.folder / peer.name
    marker = venv / "installed.txt"
    wanted = "\n".join(peer.packages)
    with _alone(peer):
        if not marker.exists() or marker.read_text() != wanted:
            print(f"installing {peer.name} into {venv.relative_to(ROOT)} ...", flush=True)
            _install(_base_python(peer), venv, peer.packages)
            marker.write_text(wanted)
    return venv / "bin" / "python"


@contextmanager
def _alone(peer: Peer) -> Iterator[None]:
    """Tests that run side by side do not make the same environment at once."""
    peer.folder.mkdir(exist_ok=True)
    with (peer.folder / f"{peer.name}.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def versions_of(python: Path, distributions: tuple[str, ...]) -> dict[str, str]:
    """The versions of installed distributions."""
    code = "import importlib.metadata as m, json, sys; print(json.dumps({n: m.version(n) for n in sys.argv[1:]}))"
    asked = subprocess.run([python, "-c", code, *distributions], capture_output=True, text=True, timeout=60)
    return dict(json.loads(asked.stdout)) if asked.returncode == 0 else {}


def _base_python(peer: Peer) -> str:
    candidates = [sys.executable, *(f"python{major}.{minor}" for major, minor in reversed(peer.versions))]
    candidates += sorted(map(str, Path.home().glob(".pyenv/versions/3.*/bin/python")), reverse=True)
    for candidate in filter(shutil.which, candidates):
        code = "import sys; print(sys.version_info[:2])"
        asked = subprocess.run([candidate, "-c", code], capture_output=True, text=True, timeout=60)
        if asked.stdout.strip() in map(str, peer.versions):
            return candidate
    known = ", ".join(f"{major}.{minor}" for major, minor in peer.versions)
    raise Missing(f"{peer.name} needs Python {known}, and none of these is here")


def _install(python: str, venv: Path, packages: tuple[str, ...]) -> None:
    pip = [str(venv / "bin" / "python"), "-m", "pip", "install", "-q", "--disable-pip-version-check", *packages]
    for command in ([python, "-m", "venv", "--clear", str(venv)], pip):
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=INSTALL_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            raise Missing(f"{venv.name} was not installed within {INSTALL_TIMEOUT_S} s") from None
        if done.returncode:
            raise Missing(f"{venv.name} cannot be installed: {(done.stderr.strip().splitlines() or ['?'])[-1][:300]}")
