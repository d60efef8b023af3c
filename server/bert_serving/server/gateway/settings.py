"""The options of a service as its status tells them, for people to read. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import MISSING
from typing import Any

from bert_serving.server.config import server_options
from bert_serving.server.poolings import STRATEGIES, Needs, PoolingStrategy

_OPTIONS = {option.name: option for option in server_options()}


def settings_of(status: Mapping[str, Any], given: Set[str] | None) -> list[dict[str, Any]]:
    """Each option with its value, those that somebody set before the others.

    `given` has the names of those; where it is None they are the ones that are not at their defaults.
    """
    options = [
        {"name": f"-{name}", "value": _shown(name, status[name]), "is_set": _is_set(name, status[name], given)}
        for name in _OPTIONS
        if name in status
    ]
    return sorted(options, key=lambda option: not option["is_set"])


def choices_of(status: Mapping[str, Any]) -> dict[str, Any]:
    """What a request may ask of this model: the names of its poolings and prompts, and the labels of its head."""
    labels = list(status.get("labels") or ())
    kinds = {Needs.TOKENS, Needs.POOLER} | ({Needs.HEAD} if labels else set())
    poolings = [one.name for one, strategy in STRATEGIES.items() if strategy.needs in kinds and one.value]
    return {"poolings": poolings, "prompts": list(status.get("prompts") or ()), "labels": labels}


def _is_set(name: str, value: Any, given: Set[str] | None) -> bool:
    if given is not None:
        return name in given
    default = _OPTIONS[name].default
    return default is not MISSING and _shown(name, value) != _shown(name, default)


def _shown(name: str, value: Any) -> str:
    if value is None:
        return "not set"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if name == "pooling_strategy":
        return PoolingStrategy(value).name
    if isinstance(value, (list, tuple)):
        return " ".join(map(str, value)) or "none"
    return str(value) or "none"
