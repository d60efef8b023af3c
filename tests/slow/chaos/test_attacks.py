"""The attacks that once did harm, for a second each: nobody ends, nobody grows, a good client is served.

All others, and how much slower a good client gets, are for `tests/slow/chaos/attacks.py`, which takes its time.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from strangers.attack import Attack
from strangers.catalogue import ATTACKS
from strangers.good_client import Round
from strangers.trial import Trials

ATTACK_S = 1.0
AFTER_S = 0.3
QUIET_S = 1.0

NAMES = [attack.name for attack in sorted(ATTACKS.values(), key=lambda attack: attack.setting) if attack.row]
"""Those of one setting follow each other, so that they share a service."""


class Shared:
    """The service of the attack before, as long as the next one wants the same and it is whole."""

    def __init__(self) -> None:
        self._trials: Trials | None = None
        self._quiet: dict[bool, Round] = {}

    def for_attack(self, attack: Attack) -> tuple[Trials, Round]:
        """A service, and how its calls went in quiet."""
        current = self._trials
        if current is None or current.service.setting != attack.setting or not current.service.is_whole:
            self.close()
            opened = Trials(attack)
            self._trials = current = opened.__enter__()
        if attack.over_http not in self._quiet:
            self._quiet[attack.over_http] = current.quiet(QUIET_S, attack.over_http)
        return current, self._quiet[attack.over_http]

    def close(self) -> None:
        """What was harmed is of no use to the next attack."""
        if self._trials is not None:
            self._trials.__exit__(None, None, None)
        self._trials = None
        self._quiet.clear()


@pytest.fixture(scope="module")
def shared() -> Iterator[Shared]:
    shared = Shared()
    yield shared
    shared.close()


@pytest.mark.parametrize("name", NAMES)
def test_harms_nobody(name: str, shared: Shared) -> None:
    attack = ATTACKS[name]
    trials, quiet = shared.for_attack(attack)
    outcome = trials.run(attack, ATTACK_S, quiet, AFTER_S)
    harm = outcome.harm(most_times=None)
    if harm:
        shared.close()
    assert harm == []


def test_every_row_that_a_stranger_can_cause_has_an_attack() -> None:
    assert {attack.row for attack in ATTACKS.values()} >= {1, 2, 3, 4, 5, 6, 7, 9, 10, 12, 13}
