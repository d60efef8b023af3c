"""A container of an image, run as README.md and docker/ advise: what must hold while it runs and when it stops."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import httpx
import numpy as np
import yaml
from docker_files import DOCKER
from minilm import MINILM_TEXTS, minilm_folder, minilm_vectors
from ports import free_ports

from bert_serving.client import BertClient
from images.podman import ImageError, Podman

PORTS = (5555, 5556, 8125)
_READY_TIMEOUT_S = 300.0
_STOP_TIMEOUT_S = 10
"""Docker's own, after which it kills."""
_TEXTS = 8
_LEAST_COSINE = 0.9999


@dataclass(frozen=True)
class Ran:
    """What was seen of one container."""

    ready_s: float
    stop_s: float
    log: str


def advised_options() -> list[str]:
    """How compose.yml runs the service: read-only, without rights, with a limit on memory."""
    service: dict[str, Any] = yaml.safe_load((DOCKER / "compose.yml").read_text("utf-8"))["services"]["bert"]
    memory = re.sub(r"\$\{\w+:-(\w+)\}", r"\1", service["mem_limit"])
    options = ["--memory", memory]
    options += ["--read-only"] if service["read_only"] else []
    for name, values in (
        ("--tmpfs", service["tmpfs"]),
        ("--cap-drop", service["cap_drop"]),
        ("--security-opt", [value.removesuffix(":true") for value in service["security_opt"]]),
    ):
        options += [word for value in values for word in (name, value)]
    return options


def run_and_check(podman: Podman, image: str, *arguments: str, options: Sequence[str] = ()) -> Ran:
    """Run it with a real model, encode, look inside, stop it. ImageError with its log if anything is amiss."""
    ports = free_ports(len(PORTS))
    published = [
        word for port, inside in zip(ports, PORTS, strict=True) for word in ("-p", f"127.0.0.1:{port}:{inside}")
    ]
    mounts = ["--volume", f"{minilm_folder()}:/model:ro"]
    begin_s = time.monotonic()
    container = podman.start(image, *arguments, options=[*advised_options(), *published, *mounts, *options])
    try:
        _wait_until_healthy(podman, container)
        ready_s = time.monotonic() - begin_s
        _encode(*ports)
        _look_inside(podman, container)
        begin_s = time.monotonic()
        podman("stop", "--time", str(_STOP_TIMEOUT_S), container)  # SIGTERM, then SIGKILL, which makes the status 137
        stop_s = time.monotonic() - begin_s
        status = podman("container", "inspect", "--format", "{{.State.ExitCode}}", container)
        _require(status == "0", f"stopped by SIGTERM it ended with status {status}, not 0")
        return Ran(ready_s, stop_s, podman.logs(container))
    except Exception as error:
        raise ImageError(f"{image}: {error}\n{podman.logs(container)[-3000:]}") from error
    finally:
        podman.remove(container)


def _require(holds: bool, sentence: str) -> None:
    if not holds:
        raise ImageError(sentence)


def _wait_until_healthy(podman: Podman, container: str) -> None:
    end_s = time.monotonic() + _READY_TIMEOUT_S
    while not podman.is_healthy(container):
        _require(podman.is_running(container), "it ended while it was loading")
        _require(time.monotonic() < end_s, f"it was not healthy after {_READY_TIMEOUT_S:.0f} s")
        time.sleep(1.0)  # as Docker does: health is only known by asking


def _encode(port: int, port_out: int, http_port: int) -> None:
    texts, expected = MINILM_TEXTS[:_TEXTS], minilm_vectors()[:_TEXTS]
    with BertClient(port=port, port_out=port_out) as client:
        _compare(client.encode(texts), expected, "ZeroMQ")
    asked = httpx.post(
        f"http://127.0.0.1:{http_port}/v1/embeddings", json={"input": texts, "model": "any"}, timeout=60.0
    )
    asked.raise_for_status()
    _compare(np.array([one["embedding"] for one in asked.json()["data"]]), expected, "HTTP")


def _compare(found: Any, expected: Any, way: str) -> None:
    lengths = np.linalg.norm(found, axis=1) * np.linalg.norm(expected, axis=1)
    worst = float(((found * expected).sum(axis=1) / lengths).min())
    _require(worst > _LEAST_COSINE, f"over {way} a vector has cosine {worst:.5f} with the one that is right")


def _look_inside(podman: Podman, container: str) -> None:
    def inside(command: str) -> str:
        return podman("exec", container, "sh", "-c", command)

    _require(inside("id -u") == "10001", "it does not run as user 10001")
    _require(inside("touch /written 2>/dev/null || echo no") == "no", "its file system can be written to")
    rights = re.search(r"^CapEff:\s*0+$", inside("cat /proc/1/status"), re.MULTILINE)
    _require(rights is not None, "it has capabilities")
    _require(bool(inside("ls /cache/bert-serving")), "nothing was kept in /cache for later starts")
