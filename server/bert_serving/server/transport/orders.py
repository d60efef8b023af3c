"""What a child is told when it is started: its role, how it reaches the supervisor, and what that role needs.

The supervisor gives orders, a launcher carries them as JSON, and `launchers/child.py` or an actor reads them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from enum import Enum
from typing import Any, Union

from bert_serving.server.transport.meeting import Contact


class Role(str, Enum):
    """What a process is for. All but the optimizer have a loop and stay."""

    VENTILATOR = "ventilator"
    SINK = "sink"
    WORKER = "worker"
    GATEWAY = "gateway"
    OPTIMIZER = "optimizer"


class _Needs:
    __slots__ = ()

    @property
    def descriptors(self) -> tuple[int, ...]:
        """Of files that it inherits, by the same numbers."""
        return ()


@dataclass(frozen=True, slots=True)
class VentilatorNeeds(_Needs):
    """Descriptors of the listening socket and of the two files of its log, and what does not change in a status.

    `insider` is the gateway's public key where clients need keys; `remote_host` is this machine as others reach it.
    """

    requests: int
    log_files: tuple[int, int]
    description: dict[str, Any]
    insider: str | None
    remote_host: str | None

    @property
    def descriptors(self) -> tuple[int, ...]:
        return (self.requests, *self.log_files)


@dataclass(frozen=True, slots=True)
class SinkNeeds(_Needs):
    """Descriptor of the listening socket. The rest as for the ventilator."""

    results: int
    insider: str | None
    remote_host: str | None

    @property
    def descriptors(self) -> tuple[int, ...]:
        return (self.results,)


@dataclass(frozen=True, slots=True)
class WorkerNeeds(_Needs):
    """The device by its name and how many lanes it gets. `where` says on which machine, if that is not this one."""

    device: str
    lanes: int
    where: str | None = None


@dataclass(frozen=True, slots=True)
class GatewayNeeds(_Needs):
    """Descriptor of the listening socket, and the folder with the gateway's keys, where clients need some."""

    http: int
    curve: str | None

    @property
    def descriptors(self) -> tuple[int, ...]:
        return (self.http,)


@dataclass(frozen=True, slots=True)
class OptimizerNeeds(_Needs):
    """Nothing: the config says it all."""


Needs = Union[VentilatorNeeds, SinkNeeds, WorkerNeeds, GatewayNeeds, OptimizerNeeds]
_NEEDS: dict[Role, type[Needs]] = {
    Role.VENTILATOR: VentilatorNeeds,
    Role.SINK: SinkNeeds,
    Role.WORKER: WorkerNeeds,
    Role.GATEWAY: GatewayNeeds,
    Role.OPTIMIZER: OptimizerNeeds,
}
_LOG_ROLES = {Role.GATEWAY: "PROXY", Role.OPTIMIZER: "GRAPHOPT"}


@dataclass(frozen=True, slots=True)
class Orders:
    """What to start. `contact` is another one for each start; the optimizer, which speaks to nobody, needs none."""

    role: Role
    name: str
    needs: Needs
    environment: dict[str, str] = field(default_factory=dict)
    contact: Contact | None = None

    @property
    def log_role(self) -> str:
        """What precedes each line of its log."""
        return _LOG_ROLES.get(self.role, self.name.upper())

    def at(self, contact: Contact) -> Orders:
        """The same for a process that reaches the supervisor so."""
        return replace(self, contact=contact)

    def to_json(self) -> dict[str, Any]:
        """As it travels; the environment does not, because the process has it."""
        contact = None if self.contact is None else self.contact.as_orders()
        return {"role": self.role.value, "name": self.name, "needs": asdict(self.needs), "contact": contact}

    @staticmethod
    def from_json(values: Mapping[str, Any]) -> Orders:
        """What `to_json` gave, perhaps by way of JSON text."""
        role, contact = Role(values["role"]), values["contact"]
        needs = _NEEDS[role](**values["needs"])
        return Orders(role, values["name"], needs, contact=None if contact is None else Contact.of(contact))
