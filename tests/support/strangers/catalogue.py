"""All attacks by name, those of the table of known faults first."""

from __future__ import annotations

from strangers import (
    capabilities,
    connections,
    huge_answers,
    large_messages,
    long_texts,
    odd_requests,
    over_http,
    subscriptions,
)
from strangers.attack import Attack

_MODULES = (
    connections,
    odd_requests,
    long_texts,
    subscriptions,
    capabilities,
    large_messages,
    huge_answers,
    over_http,
)
ATTACKS: dict[str, Attack] = {name: attack for module in _MODULES for name, attack in module.ATTACKS.items()}
