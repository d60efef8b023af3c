"""Addresses of servers, as `BertClient` takes them, checked. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from ipaddress import ip_address
from typing import Any, NamedTuple

_FORM = re.compile(r"(?P<host>[^\s:\[\]]+|\[\S+\])(?::(?P<port>\d+):(?P<port_out>\d+))?")


def in_url(host: str) -> str:
    """As it is written before a port: an IPv6 address in brackets."""
    return f"[{host}]" if ":" in host else host


def without_brackets(host: str) -> str:
    """A host as it is, which may be written as before a port."""
    return host[1:-1] if host.startswith("[") and host.endswith("]") else host


def is_address(host: str) -> bool:
    """Whether it is an IP address, and not a name that may have several."""
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


class Endpoint(NamedTuple):
    """One server."""

    host: str
    port: int
    port_out: int

    def __str__(self) -> str:
        return f"{in_url(self.host)}:{self.port}:{self.port_out}"


def checked_endpoints(
    ip: str | Sequence[str], port: Any, port_out: Any, endpoints: Sequence[str] | None
) -> list[Endpoint]:
    """The servers of a client, at least one. `endpoints`, "HOST" or "HOST:PORT:PORT_OUT" each, replace `ip`.

    Raises TypeError and ValueError.
    """
    if isinstance(endpoints, str):
        raise TypeError(f'endpoints must be a list such as ["{endpoints}"], not a str')
    ports = _checked_port("port", port), _checked_port("port_out", port_out)
    if endpoints is None and isinstance(ip, str):
        return [Endpoint(without_brackets(ip), *ports)]
    found = [_read(text, *ports) for text in (ip if endpoints is None else endpoints)]
    if not found:
        raise ValueError("the list of servers is empty")
    if len(set(found)) < len(found):
        raise ValueError(f"a server is listed twice: {', '.join(map(str, found))}")
    return found


def _read(text: str, port: int, port_out: int) -> Endpoint:
    if not isinstance(text, str):
        raise TypeError(f"a server must be a str, not {type(text).__name__}")
    form = _FORM.fullmatch(text)
    if form is None and text.count(":") > 1 and "[" not in text:
        raise ValueError(
            f"in a list of servers, write an IPv6 address in brackets, such as [::1] or [::1]:5555:5556, not {text!r}"
        )
    if form is None:
        raise ValueError(f"a server must be HOST or HOST:PORT:PORT_OUT, not {text!r}")
    host = without_brackets(form["host"])
    if form["port"] is None:
        return Endpoint(host, port, port_out)
    ports = _checked_port("port", int(form["port"])), _checked_port("port_out", int(form["port_out"]))
    return Endpoint(host, *ports)


def _checked_port(name: str, port: Any) -> int:
    if isinstance(port, bool) or not isinstance(port, int):
        raise TypeError(f"{name} must be an int, not {type(port).__name__}")
    if not 0 < port < 65536:
        raise ValueError(f"{name} must be between 1 and 65535, not {port}")
    return port
