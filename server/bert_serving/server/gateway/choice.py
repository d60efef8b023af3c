"""Which of the services of one model a request goes to. Pure.

Those that are well take turns, each as often as its weight says. One that is not well is left out while another is, and
one of weight 0 takes nothing. A request that expects a fingerprint goes to a service that has it, or nowhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from bert_serving.client.errors import quoted
from bert_serving.server.gateway.problems import Problem

UNKNOWN_RETRY_S = 5


@dataclass(frozen=True)
class Candidate:
    """A service as it is now. `fingerprint`: None before it has said which it has, empty if it has none."""

    number: int
    weight: float
    is_ready: bool
    fingerprint: str | None


class Turns:
    """Smooth weighted round-robin: in any span of time each has had its share, give or take one turn."""

    def __init__(self) -> None:
        self._credit: dict[int, float] = {}

    def take(self, weights: Mapping[int, float]) -> int:
        """Whose turn it is among these, of which there is at least one; each has a weight above 0."""
        for number, weight in weights.items():
            self._credit[number] = self._credit.get(number, 0.0) + weight
        chosen = max(weights, key=lambda number: self._credit[number])  # the first of those that are equal
        self._credit[chosen] -= sum(weights.values())
        return chosen


def eligible(candidates: Sequence[Candidate], expect: str | None) -> list[Candidate]:
    """Those that may take a request which expects this fingerprint, None for any.

    Problem 409 if no service has it, 503 if one may, which has not said yet what it has.
    """
    taking = [one for one in candidates if one.weight > 0]
    fitting = taking if expect is None else [one for one in taking if one.fingerprint == expect]
    if expect is not None and not fitting:
        if any(one.fingerprint is None for one in taking):
            raise Problem(503, "the model is loading: its fingerprint is not known yet", retry_after_s=UNKNOWN_RETRY_S)
        raise other_fingerprint(expect, (one.fingerprint or "" for one in taking))
    return [one for one in fitting if one.is_ready] or fitting


def other_fingerprint(expect: str, found: Iterable[str]) -> Problem:
    """The problem of a request that expects a fingerprint where there are only those that were `found`."""
    there = " and ".join(sorted({one or "none" for one in found}))
    text = f"the fingerprint {quoted(expect)} is expected (X-Expect-Fingerprint), and the model here has {there}"
    return Problem(409, f"{text}: encode anew what was made with the other model, or ask without that header")
