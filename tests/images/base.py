"""A stand-in for the official Python image, where no registry can be reached: Debian's own Python, by mmdebstrap.

It is the same release of Debian and the same minor version of Python, so pip chooses the same wheels. What differs: the
patch version of Python, where Python is installed, and which of Debian's packages there are.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory

from images.podman import ImageError, Podman

STAND_IN = "localhost/python-stand-in"
_CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
_CONTAINERFILE = """\
FROM scratch
ADD base.tar /
COPY ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY pip.conf /etc/pip.conf
RUN python3 -m venv /usr/local
ENV PATH=/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin
"""
"""A virtual environment at /usr/local, so that pip installs to where it does in the official image."""


def official_base(dockerfile: Path) -> tuple[str, str] | None:
    """The minor version of Python and the release of Debian that FROM names; None where FROM is an image of ours."""
    found = re.search(r"^FROM python:(\d+\.\d+)\.\d+-slim-(\w+)@sha256:", dockerfile.read_text("utf-8"), re.MULTILINE)
    return (found[1], found[2]) if found else None


def build_base(podman: Podman, python: str, release: str) -> None:
    """Make the image STAND_IN. ImageError if that release has another Python."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        packages = "--include=python3,python3-venv,ca-certificates"
        command = ["mmdebstrap", "--variant=minbase", packages, release, str(folder / "base.tar")]
        made = subprocess.run(command, capture_output=True, text=True)
        if made.returncode:
            raise ImageError(f"mmdebstrap cannot make Debian {release}:\n{made.stderr[-2000:]}")
        # Packages come from where this machine gets them, which may have a certificate of its own.
        shutil.copy(os.environ.get("PIP_CERT", _CERTIFICATES), folder / "ca-certificates.crt")
        index = os.environ.get("PIP_INDEX_URL")
        settings = [f"cert = {_CERTIFICATES}", *([f"index-url = {index}"] if index else [])]
        (folder / "pip.conf").write_text("\n".join(["[global]", *settings, ""]))
        (folder / "Containerfile").write_text(_CONTAINERFILE)
        podman.build(STAND_IN, folder / "Containerfile", folder)
    found = podman.run(STAND_IN, "python3", "--version", options=["--network", "none"])
    if not found.startswith(f"Python {python}."):
        raise ImageError(f"Debian {release} has {found}, not {python}: choose a base image whose Debian has its Python")
