"""What SHOW_CONFIG and SHOW_STATUS answer: the fields of 1.10, and ours. Asks nothing of TensorFlow but its version."""

from __future__ import annotations

import platform
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import zmq

from bert_serving.client.wire import LEGACY_SERVER_VERSION, PROTOCOL
from bert_serving.server.config import ServerConfig

_TENSORFLOW_PACKAGES = ("tensorflow", "tensorflow-cpu")


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where the parts of the service meet."""

    ventilator: str
    rows: str = ""


def tensorflow_version() -> list[str]:
    """Its parts, as 1.10 shows them; empty if it is not installed."""
    for package in _TENSORFLOW_PACKAGES:
        try:
            return version(package).split(".")
        except PackageNotFoundError:
            continue
    return []


class Description:
    """What does not change while the service runs. The supervisor makes it, and each ventilator gets it."""

    def __init__(self, fixed: dict[str, Any]) -> None:
        self._fixed = fixed

    @staticmethod
    def of(config: ServerConfig, devices: Sequence[int | None], package_version: str) -> Description:
        """Of a service that starts now."""
        fixed = {
            **config.as_status(),
            "device_map": [gpu for gpu in devices if gpu is not None],
            "num_concurrent_socket": config.num_worker,
            "tensorflow_version": tensorflow_version(),
            "python_version": platform.python_version(),
            "pyzmq_version": zmq.pyzmq_version(),
            "zmq_version": zmq.zmq_version(),
            "server_version": LEGACY_SERVER_VERSION,
            "version": package_version,
            "protocol": PROTOCOL,
            "server_start_time": str(datetime.now()),
        }
        return Description(fixed)

    def as_orders(self) -> dict[str, Any]:
        """As the ventilator's orders carry it; it makes a `Description` of them again."""
        return self._fixed

    def as_config(self, addresses: Addresses, state: str, num_process: int, client: bytes) -> dict[str, Any]:
        """The answer to SHOW_CONFIG of `client`."""
        return {
            **self._fixed,
            "client": re.sub(r"[^\x20-\x7e]", "?", client.decode(errors="replace")),
            "num_process": num_process,
            "ventilator -> worker": [addresses.ventilator],
            "worker -> sink": addresses.rows,
            "ventilator <-> sink": addresses.ventilator,
            "server_current_time": str(datetime.now()),
            "state": state,
        }
