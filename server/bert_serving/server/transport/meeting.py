"""How the processes of a service find each other: what the supervisor knows, and what each child is told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from bert_serving.server.transport.curve import Insider
from bert_serving.server.transport.run_keys import RunKeys


@dataclass(frozen=True)
class Contact:
    """How a child reaches the supervisor: by its `line`, which no other process has ever had."""

    line: str
    supervisor: str
    folder: str
    keys: RunKeys

    def as_orders(self) -> dict[str, Any]:
        """As a child's orders carry it."""
        return {**vars(self), "keys": self.keys.as_orders()}

    @staticmethod
    def of(values: Mapping[str, Any]) -> Contact:
        """What `as_orders` gave."""
        return Contact(**{**values, "keys": RunKeys.of(values["keys"])})


@dataclass(frozen=True)
class Meeting:
    """The supervisor's addresses, for children on this machine and on others, and the folder with all sockets.

    `insider` is the gateway, where clients need keys. `remote_host` is this machine as others reach it, None
    if none need to; then `remote_supervisor` is empty.
    """

    supervisor: str
    remote_supervisor: str
    remote_host: str | None
    folder: Path
    keys: RunKeys
    insider: Insider | None

    def contact(self, line: str, *, is_remote: bool = False) -> Contact:
        """For the orders of a child."""
        supervisor = self.remote_supervisor if is_remote and self.remote_supervisor else self.supervisor
        return Contact(line, supervisor, str(self.folder), self.keys)


SINK = "sink"
VENTILATOR = "ventilator"
GATEWAY = "gateway"
GATEWAY_CLIENT = b"gateway-"
"""What the identities of a gateway's clients begin with; what follows nobody can guess."""
WORKER = "worker-"
"""What the names of workers begin with; a number follows."""


@lru_cache(maxsize=4096)
def name_of(line: str) -> str:
    """Of the child that has this line: `worker-0.3` is the third process that is worker-0."""
    return line.rpartition(".")[0]
