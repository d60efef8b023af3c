"""The machine a measurement was made on: processor, cores, versions, and how busy it already was."""

from __future__ import annotations

import os
import platform
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
import zmq

from bert_serving.server.devices import available_cores
from bert_serving.server.ventilator.status import tensorflow_version
from bert_serving.server.version import __version__

_CPU_INFO = Path("/proc/cpuinfo")


def describe_machine() -> dict[str, Any]:
    """Plain values by name. The load average tells whether others were at work when the measurement began."""
    return {
        "time": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "cpu": cpu_model(_CPU_INFO.read_text("utf-8", "replace") if _CPU_INFO.is_file() else ""),
        "cores": available_cores(),
        "load_average": round(os.getloadavg()[0], 2),
        "platform": platform.platform(),
        "bert_serving": __version__,
        "python": platform.python_version(),
        "tensorflow": ".".join(tensorflow_version()) or "not installed",
        "numpy": np.__version__,
        "pyzmq": zmq.pyzmq_version(),
        "zmq": zmq.zmq_version(),
    }


def cpu_model(cpu_info: str) -> str:
    """The name of the processor in the text of /proc/cpuinfo, else its architecture."""
    for line in cpu_info.splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "model name" and value.strip():
            return value.strip()
    return platform.machine()
