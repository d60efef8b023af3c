"""Where a running service can be reached, for people to copy."""

from __future__ import annotations

from bert_serving.client.endpoints import in_url, without_brackets
from bert_serving.server.config import ServerConfig
from bert_serving.server.transport.listeners import is_every_host


def addresses(config: ServerConfig) -> str:
    """One line with the ports of ZeroMQ, and with the URLs of HTTP if there is one."""
    requests, results = (f"tcp://{_named(config.host)}:{port}" for port in (config.port, config.port_out))
    shown = f"requests to {requests}, results from {results}"
    if config.http_port is None:
        return shown
    url = f"http://{_named(config.http_host)}:{config.http_port}"
    return f"{shown}, HTTP at {url} (docs: {url}/docs)"


def _named(host: str) -> str:
    """A host as it is written in a URL; localhost for all interfaces, as seen from this machine."""
    return "localhost" if is_every_host(host) else in_url(without_brackets(host))
