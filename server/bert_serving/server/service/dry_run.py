"""`-dry_run`: what would run, and whether it could, without loading anything."""

from __future__ import annotations

from collections.abc import Sequence

from bert_serving.server.config import ServerConfig
from bert_serving.server.devices import available_bytes, device_name, lanes_for
from bert_serving.server.engine.contract import Footprint
from bert_serving.server.transport.listeners import open_listeners
from bert_serving.server.transport.meeting import WORKER

_BESIDE_BYTES = 150 << 20
"""Ventilator, sink and gateway together, while nothing is asked."""


def rehearsal(config: ServerConfig, devices: Sequence[int | None], footprint: Footprint) -> str:
    """A line for each part of the service. Opens its ports for a moment: raises StartError if one cannot be had."""
    workers = [
        f"{WORKER}{number}: {device_name(gpu)}, {lanes_for(gpu, config.most_workers)} compute lane(s)"
        for number, gpu in enumerate(devices)
    ]
    return "\n".join([f"model: {footprint.model}", *workers, _ports(config), _memory(len(devices), footprint)])


def _ports(config: ServerConfig) -> str:
    with open_listeners(config) as listeners:
        text = f"ports: {config.port} and {config.port_out} on {config.host} are free"
        if listeners.http is not None:
            text += f", and {config.http_port} on {config.http_host} for HTTP"
    return text


def _memory(num_worker: int, footprint: Footprint) -> str:
    at_work, loading = (num_worker * size + _BESIDE_BYTES for size in (footprint.worker_bytes, footprint.loading_bytes))
    free = available_bytes()
    text = (
        f"memory: about {_gib(footprint.worker_bytes)} for each worker, {_gib(at_work)} in total, "
        f"{_gib(loading)} briefly while they load; {_gib(free)} are free"
    )
    return text if loading < free else f"{text}: TOO LITTLE, use fewer workers or a smaller model"


def _gib(size: int) -> str:
    return f"{size / 2**30:.1f} GiB"
