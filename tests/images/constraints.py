"""docker/constraints.txt: the versions that images install. Pure, but for what is installed in this environment."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from importlib.metadata import distributions

OWN = ("bert-serving-client", "bert-serving-server")
BASE = ("pip", "setuptools", "wheel")
"""What a virtual environment starts with: nobody chose their versions."""
HEADER = """\
# The versions that the Dockerfiles install. They were taken from images that were built and run, by
#   make images ARGS=--refresh
# which first tries the versions installed in .venv, those that the tests ran with. The packages named nvidia-* were
# installed but not run: that takes a GPU.
"""


def canonical(name: str) -> str:
    """A package's name as pip compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def pins(text: str) -> dict[str, str]:
    """Versions by canonical name, of lines such as `numpy==2.4.6`; all other lines are skipped."""
    found = re.findall(r"^([\w.-]+)==(\S+)", text, re.MULTILINE)
    return {canonical(name): version for name, version in found}


def installed() -> dict[str, str]:
    """The versions of this environment, without our own packages and those that every environment starts with."""
    every = {canonical(one.metadata["Name"]): one.version for one in distributions()}
    return {name: version for name, version in every.items() if name not in (*OWN, *BASE)}


def merged(found: Iterable[Mapping[str, str]]) -> dict[str, str]:
    """The pins of several images. ValueError if two images have different versions of a package."""
    every: dict[str, str] = {}
    for one in found:
        for name, version in one.items():
            if every.setdefault(name, version) != version:
                raise ValueError(f"one image has {name} {every[name]}, another {version}: give it one version")
    return every


def rendered(versions: Mapping[str, str]) -> str:
    """The whole file."""
    return HEADER + "".join(f"{name}=={version}\n" for name, version in sorted(versions.items()))


def unpinned(found: Mapping[str, str], pinned: Mapping[str, str]) -> list[str]:
    """The packages of an image that the file does not name in this version."""
    return sorted(f"{name}=={version}" for name, version in found.items() if pinned.get(name) != version)
