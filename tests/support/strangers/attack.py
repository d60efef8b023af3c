"""What an attack is: a function that gets a target and so many seconds, and returns what it won."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from bert_serving.client.wire import dump_json

IDENTITY = b"stranger"


@dataclass(frozen=True, slots=True)
class Target:
    """The service as strangers know it. `victim` is the identity of the good client, as clones know it.

    `inner_ports` are those of its processes that are not meant for clients.
    """

    port: int
    port_out: int
    http_port: int
    victim: str
    inner_ports: tuple[int, ...] = ()

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @staticmethod
    def from_json(text: str) -> Target:
        values = json.loads(text)
        return Target(**{**values, "inner_ports": tuple(values["inner_ports"])})


class Turns:
    """Seconds that an attack has: iterate, and it ends when they are over."""

    def __init__(self, seconds: float, most: int = 1_000_000) -> None:
        self._end_s = time.monotonic() + seconds
        self._most = most

    @property
    def left_s(self) -> float:
        return max(0.0, self._end_s - time.monotonic())

    def __iter__(self) -> Iterator[int]:
        for turn in range(self._most):
            if not self.left_s:
                return
            yield turn

    def hold(self) -> None:
        """Stay until the end, as those do who keep what they have."""
        time.sleep(self.left_s)


Run = Callable[[Target, Turns], list[str]]
"""Returns what it won: sentences, none if it got nothing that is not its own."""


@dataclass(frozen=True, slots=True)
class Attack:
    """One attack and what holds while it runs.

    `row` is that of the table of known faults, None where nobody had shown it. `message_mb` is what its largest
    message holds, which a process may have on top of what it may grow. `options` are the service's. `judges_time` is
    False where the texts themselves say how long they take. `kills` names a child that gets SIGKILL meanwhile.
    """

    name: str
    run: Run
    row: int | None = None
    message_mb: float = 0.0
    over_http: bool = False
    needs_model: bool = False
    judges_time: bool = True
    options: Mapping[str, Any] = field(default_factory=dict)
    long_socket_folder: bool = False
    most_descriptors: int | None = None
    kills: str = ""

    @property
    def setting(self) -> str:
        """Attacks of the same one can share a service."""
        named = (self.needs_model, dict(self.options), self.long_socket_folder, self.most_descriptors)
        return json.dumps(named, sort_keys=True)


class Catalogue:
    """Attacks by name; `of(...)` is the decorator that enters one under its function's name."""

    def __init__(self) -> None:
        self.attacks: dict[str, Attack] = {}

    def of(self, **about: Any) -> Callable[[Run], Run]:
        def enter(run: Run) -> Run:
            self.attacks[run.__name__] = Attack(run.__name__, run, **about)
            return run

        return enter


def request(content: bytes, count: int = 1, request_id: int = 1, identity: bytes = IDENTITY) -> list[bytes]:
    """Frames of a request whose texts are these bytes, whatever they are."""
    return [identity, content, b"%d" % request_id, b"%d" % count]


def request_with(options: bytes, request_id: int = 1) -> list[bytes]:
    """Frames of a good request, but for its options."""
    return [*request(dump_json(["a text"]), request_id=request_id), options]
