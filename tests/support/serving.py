"""What tests of the running service share: a config with the fake engine, and the types of the fixtures."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from ports import free_ports
from raw_client import RawClient

from bert_serving.client import BertClient
from bert_serving.client.wire import Command, JsonReply, encode_command
from bert_serving.server import BertServer, ServerConfig

Serve = Callable[..., BertServer]
Connect = Callable[..., BertClient]


def fake_config(**options: Any) -> ServerConfig:
    """A config with the fake engine, on free ports."""
    port, port_out = free_ports(2)
    values = {"model_dir": "fake", "engine": "fake_engine", "cpu": True, "port": port, "port_out": port_out}
    return ServerConfig.from_mapping({**values, **options})


def ports_of(server: BertServer) -> dict[str, Any]:
    """What tells a client of it."""
    return {"port": server.config.port, "port_out": server.config.port_out}


def wait_until(is_so: Callable[[], bool], patience_s: float = 120.0) -> None:
    """AssertionError if it does not come."""
    end_s = time.monotonic() + patience_s
    while not is_so():
        assert time.monotonic() < end_s, "it did not come"
        time.sleep(0.01)


def pids(server: BertServer) -> dict[str, int]:
    """The service's processes by name, loading or not."""
    return {process["name"]: process["pid"] for process in processes(server)}


def processes(server: BertServer) -> list[dict[str, Any]]:
    """What the status says of each of them."""
    shown: list[dict[str, Any]] = status(server)["processes"]
    return shown


def open_requests(server: BertServer) -> int:
    """How many requests are open."""
    return int(status(server)["queue"]["open_requests"])


def status(server: BertServer) -> dict[str, Any]:
    """The answer to SHOW_STATUS."""
    with RawClient(server, b"watch") as raw:
        reply = raw.ask(*encode_command(b"watch", 1, Command.SHOW_STATUS))
    assert isinstance(reply, JsonReply)
    return reply.content
