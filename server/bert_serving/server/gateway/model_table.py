"""Which services stand behind which model's name, as `-model` and the file of `-models` say it. Pure.

[mini]
[[mini.endpoints]]
address = "gpu-1:5555:5556"
weight = 3                      # optional: 1; 0 takes nothing
curve = "keys/gateway"          # optional: a folder with this gateway's keys, from the file's folder on
expect_fingerprint = "0a1b.."   # optional: with another model or other options it is not asked
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from bert_serving.client.endpoints import Endpoint, checked_endpoints
from bert_serving.client.errors import quoted
from bert_serving.client.keys import ClientKeys
from bert_serving.server.errors import ConfigError
from bert_serving.server.gateway.config_files import tables_in
from bert_serving.server.option_values import readable_name

PORT, PORT_OUT = 5555, 5556
"""Of an address without ports."""
_FIELDS = ("address", "weight", "curve", "expect_fingerprint")


@dataclass(frozen=True)
class Place:
    """One service: where it is, and its share of the requests for a model beside the model's other services."""

    endpoint: Endpoint
    weight: float = 1
    curve: str | None = None
    expect_fingerprint: str | None = None
    keys: ClientKeys | None = field(default=None, repr=False)
    """What the folder held when somebody looked: with other keys it is another service."""

    @property
    def unweighted(self) -> Place:
        """Equal for those that are the same service, whatever their weights."""
        return replace(self, weight=1)


Models = Mapping[str, Sequence[Place]]
"""The services of each model, at least one of which takes requests."""


def models_of_arguments(texts: Sequence[str], curve: str | None = None) -> Models:
    """Of NAME=HOST:PORT:PORT_OUT each; a name given twice has two services. Raises ConfigError."""
    found: dict[str, list[Place]] = {}
    for text in texts:
        name, equals, address = text.rpartition("=")
        if not equals:
            raise ConfigError(f"-model must be NAME=HOST:PORT:PORT_OUT, such as mini=localhost:5555:5556, not {text!r}")
        place = Place(_endpoint(f"-model {text}", address), curve=curve)
        found.setdefault(_name("-model", name), []).append(place)
    return _checked(found, "-model")


def models_of_file(content: bytes, path: Path) -> Models:
    """Of the TOML above, which was read from `path`. Raises ConfigError, which names the file and what is wrong."""
    try:
        read = tables_in(content)
    except ValueError as error:
        raise ConfigError(f"{path} (-models): {error}") from None
    found = {}
    for name, about in read.items():
        where = f"{path} (-models): [{name}]"
        if not isinstance(about, dict) or not isinstance(about.get("endpoints"), list):
            raise ConfigError(f'{where} needs [[{name}.endpoints]] with address = "HOST:PORT:PORT_OUT"')
        _refuse_unknown(where, about, ("endpoints",))
        places = enumerate(about["endpoints"])
        found[_name(where, name)] = [_place(f"{where} endpoint {at}", one, path.parent) for at, one in places]
    return _checked(found, f"{path} (-models)")


def _place(where: str, about: Any, folder: Path) -> Place:
    if not isinstance(about, dict):
        raise ConfigError(f"{where} must be a table with an address, not {quoted(about)}")
    _refuse_unknown(where, about, _FIELDS)
    for name in ("address", "curve", "expect_fingerprint"):
        if name in about and not (isinstance(about[name], str) and about[name]):
            raise ConfigError(f"{where}: {name} must be a text that is not empty, not {quoted(about[name])}")
    if "address" not in about:
        raise ConfigError(f'{where} has no address: write address = "HOST:PORT:PORT_OUT"')
    curve = str(folder / about["curve"]) if "curve" in about else None
    endpoint = _endpoint(where, about["address"])
    return Place(endpoint, _weight(where, about.get("weight", 1)), curve, about.get("expect_fingerprint"))


def _weight(where: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= _MOST_WEIGHT:
        raise ConfigError(f"{where}: weight must be a number from 0 to {_MOST_WEIGHT}, not {quoted(value)}")
    return value


_MOST_WEIGHT = 1_000_000


def _endpoint(where: str, address: str) -> Endpoint:
    try:
        (endpoint,) = checked_endpoints("", PORT, PORT_OUT, [address])
    except ValueError as error:
        raise ConfigError(f"{where}: {error}") from None
    return endpoint


def _name(where: str, text: str) -> str:
    try:
        return readable_name(text)
    except ValueError as error:
        raise ConfigError(f"{where}: the name of a model {error}") from None


def _refuse_unknown(where: str, about: Mapping[str, Any], known: Sequence[str]) -> None:
    if unknown := sorted(set(about) - set(known)):
        raise ConfigError(f"{where} has {', '.join(map(quoted, unknown))}, and may have {', '.join(known)}")


def _checked(models: Models, where: str) -> Models:
    if not models:
        raise ConfigError(f"{where} names no model")
    for name, places in models.items():
        addresses = [str(place.endpoint) for place in places]
        if twice := sorted({one for one in addresses if addresses.count(one) > 1}):
            raise ConfigError(f"{where}: {name} has {', '.join(twice)} twice: give it a larger weight")
        if not any(place.weight for place in places):
            raise ConfigError(f"{where}: no endpoint of {name} has a weight above 0, so nobody would be asked")
    return models
