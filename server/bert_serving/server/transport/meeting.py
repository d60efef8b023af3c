"""Where the processes of a service meet."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bert_serving.server.transport.curve import Insider
from bert_serving.server.transport.remote import RemoteKeys


@dataclass(frozen=True)
class Remote:
    """For workers on other machines: the ventilator's address there, and the keys."""

    host: str
    address: str
    keys: RemoteKeys

    def as_orders(self) -> dict[str, Any]:
        """As the sink's orders carry it, which opens a socket of its own at `host`."""
        return {"host": self.host, "keys": self.keys.as_orders()}


@dataclass(frozen=True)
class Meeting:
    """For those on this machine: the ventilator's address, and the folder with all sockets.

    `insider` is the gateway, where clients need keys.
    """

    address: str
    folder: Path
    insider: Insider | None
    remote: Remote | None
