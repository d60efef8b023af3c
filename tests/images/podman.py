"""podman, with storage of its own, so that `make clean` removes everything and no other image is touched."""

from __future__ import annotations

import resource
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

NEEDED = ("podman", "runc", "iptables", "mmdebstrap")
APT = "apt-get install --no-install-recommends podman runc netavark iptables mmdebstrap"
_PROCESSES = 4096


class ImageError(Exception):
    """A sentence: what cannot be built or run, and why."""


class Podman:
    """Builds and runs images. `folder` holds its storage; each call is one command that ends before it returns."""

    def __init__(self, folder: Path) -> None:
        missing = [name for name in NEEDED if not shutil.which(name)]
        if missing:
            raise ImageError(f"{', '.join(missing)} cannot be found; on Debian: {APT}")
        # cgroupfs: there may be no systemd. runc: crun refuses machines that have both versions of cgroups.
        storage = ["--root", str(folder / "storage"), "--runroot", str(folder / "run")]
        self._command = ["podman", *storage, "--cgroup-manager", "cgroupfs", "--runtime", "runc"]

    def _call(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([*self._command, *arguments], capture_output=True, text=True)

    def __call__(self, *arguments: str) -> str:
        """What a command prints. ImageError with the end of what it complained about."""
        done = self._call(*arguments)
        if done.returncode:
            raise ImageError(f"podman {arguments[0]} failed:\n{(done.stdout + done.stderr)[-3000:]}")
        return done.stdout.strip()

    def build(self, image: str, dockerfile: Path, context: Path, base: str | None = None) -> None:
        """`base` takes the place of the image in FROM."""
        ignored = dockerfile.with_name(f"{dockerfile.name}.dockerignore")
        options = ["--ignorefile", str(ignored)] if ignored.exists() else []
        if base is not None:
            options += ["--from", base]
        # chroot: needs fewer rights than containers do; docker: the other format has no HEALTHCHECK.
        fixed = ["--isolation", "chroot", "--format", "docker", "--tag", image, "--file", str(dockerfile)]
        self("build", *fixed, *options, str(context))

    def run(self, image: str, *arguments: str, options: Sequence[str] = ()) -> str:
        """What a command prints in a container that is removed afterwards."""
        return self("run", "--rm", "--no-healthcheck", *_limits(), *options, image, *arguments)

    def start(self, image: str, *arguments: str, options: Sequence[str] = ()) -> str:
        """The id of a container that now runs in the background."""
        # Without systemd podman has no timer for health checks: `health` runs them.
        return self("run", "--detach", "--health-interval", "disable", *_limits(), *options, image, *arguments)

    def is_healthy(self, container: str) -> bool:
        """Runs the image's HEALTHCHECK once."""
        return self._call("healthcheck", "run", container).returncode == 0

    def is_running(self, container: str) -> bool:
        return self("container", "inspect", "--format", "{{.State.Running}}", container) == "true"

    def logs(self, container: str) -> str:
        done = self._call("logs", container)
        return done.stdout + done.stderr

    def remove(self, container: str) -> None:
        """With its anonymous volumes, running or not."""
        self._call("rm", "--force", "--volumes", container)

    def size_mb(self, image: str) -> int:
        return int(self("image", "inspect", "--format", "{{.Size}}", image)) // 1_000_000


def _limits() -> list[str]:
    """podman would ask for more open files and processes than this machine may give."""
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    return ["--ulimit", f"nofile={files}:{files}", "--ulimit", f"nproc={_PROCESSES}:{_PROCESSES}"]
