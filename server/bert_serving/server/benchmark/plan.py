"""Which points are measured, in which order. Pure.

Points that need the same server are measured in a row, so that servers are started as rarely as possible.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from bert_serving.server.benchmark.results import Kind, Value
from bert_serving.server.config import ServerConfig

ARRIVAL_RATE, INTERACTIVE = "arrival_rate", "interactive"
ALONE, BESIDE_BULK = "alone", "during bulk"

CLIENT_PARAMETERS = ("client_batch_size", "num_client")
SERVER_PARAMETERS = ("max_batch_size", "max_seq_len", "pooling_layer")
"""Those that 1.10 varies; each of these needs a server of its own."""


@dataclass(frozen=True)
class Spec:
    """One point to be measured. `config` is None for a server that runs already.

    `rate` is requests a second, of one text each, for the kinds that schedule arrivals.
    """

    table: str
    kind: Kind
    value: Value
    texts: str
    config: ServerConfig | None
    client_batch_size: int
    num_client: int
    rate: float = 0.0


@dataclass(frozen=True)
class Choices:
    """What the plan is made of: the values of each varied parameter, and what holds where none is varied."""

    texts: tuple[str, ...]
    client_batch_size: int
    num_client: int
    arrival_rates: tuple[float, ...]
    interactive_rate: float
    values: dict[str, tuple[Any, ...]]


def make_plan(choices: Choices, config: ServerConfig | None) -> list[Spec]:
    """All points; without `config` those that leave the server as it is."""
    plan = [*_client_points(choices, config), *_arrival_points(choices, config), *_interactive_points(choices, config)]
    return plan if config is None else [*plan, *_server_points(choices, config)]


def skipped_parameters(choices: Choices) -> list[str]:
    """Parameters that cannot be varied at a server that runs already."""
    return [name for name in SERVER_PARAMETERS if choices.values.get(name)]


def _base(choices: Choices, texts: str, config: ServerConfig | None) -> Spec:
    return Spec("", Kind.CLOSED, 0, texts, config, choices.client_batch_size, choices.num_client)


def _client_points(choices: Choices, config: ServerConfig | None) -> list[Spec]:
    return [
        replace(_base(choices, texts, config), table=name, value=value, **{name: value})
        for name in CLIENT_PARAMETERS
        for texts in choices.texts
        for value in choices.values.get(name, ())
    ]


def _server_points(choices: Choices, config: ServerConfig) -> list[Spec]:
    return [
        replace(_base(choices, texts, with_option(config, name, value)), table=name, value=value)
        for name in SERVER_PARAMETERS
        for value in choices.values.get(name, ())
        for texts in choices.texts
    ]


def _arrival_points(choices: Choices, config: ServerConfig | None) -> list[Spec]:
    return [
        replace(_base(choices, texts, config), table=ARRIVAL_RATE, kind=Kind.OPEN, value=rate, rate=rate)
        for texts in choices.texts
        for rate in choices.arrival_rates
    ]


def _interactive_points(choices: Choices, config: ServerConfig | None) -> list[Spec]:
    rate = choices.interactive_rate
    return [
        replace(_base(choices, texts, config), table=INTERACTIVE, kind=Kind.BESIDE, value=value, rate=rate)
        for texts in choices.texts
        for value in (ALONE, BESIDE_BULK)
        if rate > 0
    ]


def with_option(config: ServerConfig, name: str, value: Any) -> ServerConfig:
    """The config as if `-name value` had been given."""
    changed: dict[str, Any] = {name: (value,) if name == "pooling_layer" else value}
    return replace(config, given=config.given | {name}, **changed)


def as_words(config: ServerConfig) -> list[str]:
    """The command line of `bert-serving-start` that gives this config."""
    words: list[str] = []
    for name in sorted(config.given & set(config.as_status())):
        value = getattr(config, name)
        if value is True:
            words.append(f"-{name}")
        elif value is not False:
            words += [f"-{name}", *_texts(value)]
    return words


def _texts(value: Any) -> list[str]:
    if isinstance(value, tuple):
        return [str(item) for item in value]
    return ["NONE" if value is None else str(getattr(value, "name", value))]
