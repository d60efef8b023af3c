"""Where the processes of a service meet."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bert_serving.server.transport.curve import Insider
from bert_serving.server.transport.remote import RemoteKeys

LOOPBACK = "127.0.0.1"


@dataclass(frozen=True)
class Line:
    """How to reach a socket of ours. Without keys it is one that the file system protects, ipc in a private folder.

    The address may be shown to anybody, the keys to nobody.
    """

    address: str
    keys: RemoteKeys | None = None

    @property
    def is_local(self) -> bool:
        """Whether it ends on this machine, where the kernel tells when the other end is gone."""
        return self.address.startswith(("ipc://", f"tcp://{LOOPBACK}:"))

    @staticmethod
    def of(values: Mapping[str, Any]) -> Line:
        """What `as_orders` gave."""
        return Line(values["address"], None if values["keys"] is None else RemoteKeys.of(values["keys"]))

    def as_orders(self) -> dict[str, Any]:
        """As JSON values, for a child's orders and for messages to it."""
        return {"address": self.address, "keys": None if self.keys is None else self.keys.as_orders()}


@dataclass(frozen=True)
class Remote:
    """For workers on other machines: the line to the ventilator there."""

    host: str
    line: Line

    def as_orders(self) -> dict[str, Any]:
        """As the sink's orders carry it, which opens a socket of its own at `host`."""
        return {"host": self.host, "keys": None if self.line.keys is None else self.line.keys.as_orders()}


@dataclass(frozen=True)
class Meeting:
    """For those on this machine: the line to the ventilator, and the folder with all sockets.

    `insider` is the gateway, where clients need keys.
    """

    line: Line
    folder: Path
    insider: Insider | None
    remote: Remote | None
