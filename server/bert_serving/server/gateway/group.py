"""The services of one model: each a backend, with a number of its own and its share of the requests."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from bert_serving.server.gateway.backend import Backend
from bert_serving.server.gateway.choice import Candidate, Turns, eligible
from bert_serving.server.gateway.model_table import Place


@dataclass(frozen=True, eq=False)
class Member:
    """One service. Its `number` tells it apart from the model's others, for as long as it is there."""

    number: int
    place: Place | None
    backend: Backend


@dataclass(frozen=True, eq=False)
class Group:
    """The services of one model; `weights` by their numbers."""

    members: list[Member]
    weights: Mapping[int, float]
    turns: Turns = field(default_factory=Turns)

    def take(self, expect: str | None) -> Backend:
        """The one whose turn it is, of those with that fingerprint if one is expected. Problem 409, 503."""
        candidates = eligible([self._as_candidate(one) for one in self.members], expect)
        chosen = self.turns.take({one.number: one.weight for one in candidates})
        return next(one.backend for one in self.members if one.number == chosen)

    @property
    def first(self) -> Member:
        """The one that stands for all: of the largest weight among those that are well, if any that is asked is."""
        return max(self.taking, key=lambda one: (one.backend.trouble is None, self.weights[one.number]))

    @property
    def described(self) -> str:
        """Each service, for the log."""
        return ", ".join(
            f"endpoint {one.number} of weight {self.weights[one.number]:g} "
            f"({one.backend.fingerprint or one.backend.trouble})"
            for one in self.members
        )

    @property
    def taking(self) -> list[Member]:
        """Those that take requests, at least one."""
        return [one for one in self.members if self.weights[one.number] > 0]

    @property
    def trouble(self) -> str | None:
        """Why no service can be used; None if one can."""
        return self.first.backend.trouble

    @property
    def fingerprints(self) -> list[str]:
        """Those of the services that take requests, each once, that of the first one before the others."""
        found = [one.backend.fingerprint for one in (self.first, *self.taking)]
        return list(dict.fromkeys(one for one in found if one))

    def _as_candidate(self, member: Member) -> Candidate:
        backend = member.backend
        is_ready = backend.trouble is None and not backend.slots.is_full
        return Candidate(member.number, self.weights[member.number], is_ready, backend.fingerprint)
