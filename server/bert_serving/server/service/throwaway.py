"""A private server on free ports, for commands that need a server and were not given one."""

from __future__ import annotations

import socket
from contextlib import ExitStack
from dataclasses import replace

from bert_serving.server.config import ServerConfig
from bert_serving.server.service.server import BertServer

HERE = "127.0.0.1"


def throwaway_server(config: ServerConfig) -> BertServer:
    """A server that is not started yet: as `config` says, but on free ports that only this machine can reach.

    It has no HTTP and asks for no keys: neither changes a vector. Raises ConfigError or StartError.
    """
    port, port_out = free_ports(2)
    return BertServer(replace(config, host=HERE, port=port, port_out=port_out, http_port=None, curve_dir=None))


def free_ports(count: int) -> list[int]:
    """Ports that nobody uses."""
    with ExitStack() as held:
        socks = [held.enter_context(socket.create_server((HERE, 0))) for _ in range(count)]
        return [sock.getsockname()[1] for sock in socks]
