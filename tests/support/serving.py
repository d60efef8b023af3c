"""What tests of the running service share: a config with the fake engine, and the types of the fixtures."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ports import free_ports

from bert_serving.client import BertClient
from bert_serving.server import BertServer, ServerConfig

Serve = Callable[..., BertServer]
Connect = Callable[..., BertClient]


def fake_config(**options: Any) -> ServerConfig:
    """A config with the fake engine, on free ports."""
    port, port_out = free_ports(2)
    values = {"model_dir": "fake", "engine": "fake_engine", "cpu": True, "port": port, "port_out": port_out}
    return ServerConfig.from_mapping({**values, **options})
