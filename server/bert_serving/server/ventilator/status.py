"""The answers to SHOW_CONFIG and SHOW_STATUS: the fields of 1.10, and ours. Needs only TensorFlow's version number."""

from __future__ import annotations

import platform
import re
from collections.abc import Sequence, Set
from dataclasses import asdict, dataclass
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import zmq

from bert_serving.client.wire import LEGACY_SERVER_VERSION, PROTOCOL
from bert_serving.server.config import ServerConfig
from bert_serving.server.message.messages import Census, Done
from bert_serving.server.ventilator.peers import Peers
from bert_serving.server.ventilator.stats import Statistic
from bert_serving.server.ventilator.work import Work

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

    def as_config(self, addresses: Addresses, census: Census, client: bytes) -> dict[str, Any]:
        """The answer to SHOW_CONFIG of `client`."""
        return {
            **self._fixed,
            "client": re.sub(r"[^\x20-\x7e]", "?", client.decode(errors="replace")),
            "num_process": len(census.processes) + 1,
            "ventilator -> worker": [addresses.ventilator],
            "worker -> sink": addresses.rows,
            "ventilator <-> sink": addresses.ventilator,
            "server_current_time": str(datetime.now()),
            "state": census.state,
            "model": {"name": self._fixed["model_name"], "fingerprint": census.fingerprint},
        }


def status_of(
    work: Work, wait_s: float, peers: Peers, statistic: Statistic, now_s: float, key_names: Set[str] = frozenset()
) -> dict[str, Any]:
    """What SHOW_STATUS answers besides the config.

    `wait_s`: how long a new request would wait. `key_names` are those of the clients' keys.
    """
    urgent, bulk = work.waiting_rows(urgent=True), work.waiting_rows(urgent=False)
    return {
        "statistic": statistic.as_status(now_s),
        "processes": peers.processes(now_s),
        "workers": [_tally(name, last) for name, last in peers.tallies()],
        "queue": {
            "open_requests": len(work),
            "waiting_rows": urgent + bulk,
            "waiting_urgent_rows": urgent,
            "waiting_bulk_rows": bulk,
            "wait_s": round(wait_s, 3),
        },
        "latency": statistic.as_latency(now_s),
        "durations": statistic.durations.as_status(),
        "keys": statistic.as_keys(key_names),
    }


def _tally(worker: str, last: Done) -> dict[str, Any]:
    """What a worker has computed, as the status shows it."""
    return {"name": worker, **{name: value for name, value in asdict(last).items() if name not in _OF_ONE_PART}}


_OF_ONE_PART = ("job", "offset", "part_tokenize_s", "part_compute_s")
