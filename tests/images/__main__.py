"""`make images`: builds the images of docker/, runs each of them on CPUs, and prints how large they are.

    make images                    build on a stand-in for the official Python image, made from Debian's packages
    make images ARGS=--registry    build on the image that the Dockerfiles name, pulled from its registry
    make images ARGS=--refresh     first choose the versions in docker/constraints.txt anew

The image for GPUs and the one with Ray are run on CPUs, too: no GPU is asked for.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from docker_files import DOCKER
from folders import ROOT

from bert_serving.server.version import __version__
from images.base import STAND_IN, build_base, official_base
from images.constraints import installed, merged, pins, rendered, unpinned
from images.podman import ImageError, Podman
from images.running import Ran, run_and_check

FOLDER = ROOT / ".images"
CONSTRAINTS = DOCKER / "constraints.txt"
say = partial(print, flush=True)

_ON_RAY = """\
ray start --head --num-cpus=2 --num-gpus=0 --include-dashboard=false --disable-usage-stats &&
BERT_SERVING_HOST=$(python3 -c 'import socket; print(socket.gethostbyname(socket.gethostname()))') &&
export BERT_SERVING_HOST && exec bert-serving-start"""
"""As raycluster.yaml starts the server, but that the cluster is this one container."""


@dataclass(frozen=True)
class Image:
    """One of ours: how it is built, and how it is run on CPUs."""

    name: str
    dockerfile: Path
    arguments: tuple[str, ...] = ("1",)
    options: tuple[str, ...] = ()

    @property
    def tag(self) -> str:
        return f"localhost/{self.name}:{__version__}"


_RAY = {"LAUNCHER": "ray", "RAY_ADDRESS": "127.0.0.1:6379", "NUM_WORKER": "1", "CPU": "1"}
IMAGES = (
    Image("bert-as-service", DOCKER / "Dockerfile"),
    Image("bert-as-service-gpu", DOCKER / "Dockerfile.gpu", options=("--env", "BERT_SERVING_CPU=1")),
    Image(
        "bert-as-service-ray",  # stands on the one for GPUs
        DOCKER / "k8s" / "Dockerfile.ray",
        arguments=("-c", _ON_RAY),
        options=(
            "--entrypoint=bash",
            "--shm-size=2g",
            "--memory=6g",
            *(word for name, value in _RAY.items() for word in ("--env", f"BERT_SERVING_{name}={value}")),
        ),
    ),
)


def build(podman: Podman, images: Sequence[Image], *, pull: bool) -> None:
    """Build them all, one after the other."""
    made: set[tuple[str, str]] = set()
    for image in images:
        official = official_base(image.dockerfile)
        base = None
        if official is not None and not pull:
            if official not in made:
                say("making a stand-in for Python {} on Debian {} ...".format(*official))
                build_base(podman, *official)
                made.add(official)
            base = STAND_IN
        say(f"building {image.tag} ...")
        podman.build(image.tag, image.dockerfile, ROOT, base)


def versions(podman: Podman, image: Image) -> dict[str, str]:
    """What is installed in it; pip is the base image's."""
    listed = podman.run(image.tag, "freeze", "--all", options=["--entrypoint", "pip", "--network", "none"])
    return {name: version for name, version in pins(listed).items() if name != "pip"}


def check_versions(podman: Podman, images: Sequence[Image]) -> None:
    """ImageError if an image holds a package in a version that docker/constraints.txt does not name."""
    pinned = pins(CONSTRAINTS.read_text("utf-8"))
    for image in images:
        if found := unpinned(versions(podman, image), pinned):
            raise ImageError(
                f"{image.tag} has {', '.join(found)}, not in {CONSTRAINTS.name}: make images ARGS=--refresh"
            )


def run(podman: Podman, image: Image) -> str:
    """Run it twice with one cache, and a line of what was seen."""
    cache = f"cache-{image.name}"
    podman("volume", "rm", "--force", cache)
    again: Callable[[], Ran] = partial(
        run_and_check, podman, image.tag, *image.arguments, options=[*image.options, "--volume", f"{cache}:/cache"]
    )
    say(f"running {image.tag} ...")
    first, second = again(), again()
    podman("volume", "rm", "--force", cache)
    if "building the graph" not in first.log or "building the graph" in second.log:
        raise ImageError(f"{image.tag}: the graph was not kept in /cache for the second start\n{second.log[-3000:]}")
    times = (
        f"healthy after {first.ready_s:.0f} s, with its cache {second.ready_s:.0f} s; stopped in {first.stop_s:.1f} s"
    )
    return f"{image.tag}: {podman.size_mb(image.tag):,} MB; {times}"


def main() -> None:
    """Exit status 1 with a sentence for what does not hold."""
    parser = argparse.ArgumentParser(
        prog="make images", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--registry", action="store_true", help="pull the base image that the Dockerfiles name")
    parser.add_argument("--refresh", action="store_true", help="write docker/constraints.txt anew")
    parser.add_argument("--only", action="append", choices=[image.name for image in IMAGES], help="this image alone")
    args = parser.parse_args()
    if args.refresh and args.only:
        parser.error("--refresh looks at all images: leave --only out")
    images = [image for image in IMAGES if not args.only or image.name in args.only]
    try:
        podman = Podman(FOLDER)
        if args.refresh:
            CONSTRAINTS.write_text(rendered(installed()))
        build(podman, images, pull=args.registry)
        if args.refresh:
            CONSTRAINTS.write_text(rendered(merged(versions(podman, image) for image in images)))
        check_versions(podman, images)
        seen = [run(podman, image) for image in images]
    except (ImageError, OSError, ValueError) as error:
        sys.exit(f"error: {error}")
    if not args.registry:
        say(f"the base is a stand-in of {podman.size_mb(STAND_IN):,} MB, made from Debian's packages")
    say(*seen, sep="\n")


if __name__ == "__main__":
    main()
