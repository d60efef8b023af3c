"""Where servers are: what `BertClient` takes for that, checked. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

_FORM = re.compile(r"(?P<host>[^\s:\[\]]+|\[\S+\])(?::(?P<port>\d+):(?P<port_out>\d+))?")


class Endpoint(NamedTuple):
    """One server."""

    host: str
    port: int
    port_out: int

    def __str__(self) -> str:
        return f"{self.host}:{self.port}:{self.port_out}"


def checked_endpoints(
    ip: str | Sequence[str], port: Any, port_out: Any, endpoints: Sequence[str] | None
) -> list[Endpoint]:
    """The servers of a client, at least one. `endpoints`, "HOST" or "HOST:PORT:PORT_OUT" each, stand for `ip`.

    Raises TypeError and ValueError.
    """
    if isinstance(endpoints, str):
        raise TypeError(f'endpoints must be a list such as ["{endpoints}"], not a str')
    ports = _checked_port("port", port), _checked_port("port_out", port_out)
    if endpoints is None and isinstance(ip, str):
        return [Endpoint(ip, *ports)]
    found = [_read(text, *ports) for text in (ip if endpoints is None else endpoints)]
    if not found:
        raise ValueError("the list of servers is empty")
    if len(set(found)) < len(found):
        raise ValueError(f"a server stands twice among {', '.join(map(str, found))}")
    return found


def _read(text: str, port: int, port_out: int) -> Endpoint:
    if not isinstance(text, str):
        raise TypeError(f"a server must be a str, not {type(text).__name__}")
    form = _FORM.fullmatch(text)
    if form is None:
        raise ValueError(f"a server must be HOST or HOST:PORT:PORT_OUT, not {text!r}")
    if form["port"] is None:
        return Endpoint(text, port, port_out)
    ports = _checked_port("port", int(form["port"])), _checked_port("port_out", int(form["port_out"]))
    return Endpoint(form["host"], *ports)


def _checked_port(name: str, port: Any) -> int:
    if isinstance(port, bool) or not isinstance(port, int):
        raise TypeError(f"{name} must be an int, not {type(port).__name__}")
    if not 0 < port < 65536:
        raise ValueError(f"{name} must be between 1 and 65535, not {port}")
    return port
