"""A limit of tokens a minute, as a bucket that fills by itself. What an answer cost is known after it, so a bucket may
go below zero, and who has emptied it waits until it is above zero again. Pure: time is passed in, of any one clock."""

from __future__ import annotations

from dataclasses import dataclass
from math import floor

MINUTE_S = 60.0
_ROUNDING_S = 1e-6


@dataclass(frozen=True, slots=True)
class Bucket:
    """Holds what may be used in a minute, at most. There were `level` tokens in it at `at_s`."""

    per_minute: int
    level: float
    at_s: float

    @staticmethod
    def full(per_minute: int, now_s: float) -> Bucket:
        """As everybody begins."""
        return Bucket(per_minute, per_minute, now_s)

    def left(self, now_s: float) -> float:
        """How many tokens are in it now; below zero if more were used than there were."""
        return min(self.per_minute, self.level + max(0.0, now_s - self.at_s) * self.per_minute / MINUTE_S)

    def taken(self, tokens: int, now_s: float) -> Bucket:
        """After so many tokens were used."""
        return Bucket(self.per_minute, self.left(now_s) - tokens, max(now_s, self.at_s))

    def with_limit(self, per_minute: int, now_s: float) -> Bucket:
        """With another limit from now on; what was used too much is still owed."""
        return Bucket(per_minute, min(per_minute, self.left(now_s)), max(now_s, self.at_s))

    def wait_s(self, now_s: float) -> int:
        """Whole seconds until it is above zero; 0 if it is."""
        left = self.left(now_s)
        return 0 if left > 0 else floor(-left * MINUTE_S / self.per_minute + _ROUNDING_S) + 1
