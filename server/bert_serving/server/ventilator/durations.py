"""How long the stages of requests took, counted by duration: what the gateway's `/metrics` shows as histograms. Pure.

A request goes through `queue`, `tokenize` and `compute`; `whole` is from its acceptance to its answer. A request that
is split into parts is counted once, by its first part (again if another worker gets that).
"""

from __future__ import annotations

from bisect import bisect_left
from typing import Any

BOUNDS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
STAGES = ("queue", "tokenize", "compute", "whole")


class Durations:
    """Counts of all stages. Adding to one takes a search among `BOUNDS_S`."""

    def __init__(self) -> None:
        self._counts = {stage: [0] * (len(BOUNDS_S) + 1) for stage in STAGES}
        self._sums_s = dict.fromkeys(STAGES, 0.0)

    def add(self, stage: str, took_s: float) -> None:
        """This stage of a request took so long."""
        self._counts[stage][bisect_left(BOUNDS_S, took_s)] += 1
        self._sums_s[stage] += took_s

    def as_status(self) -> dict[str, Any]:
        """`counts[i]` are the requests that took at most `bounds_s[i]` and more than the bound before; the last count
        has those above all bounds."""
        stages = {
            stage: {"counts": counts, "sum_s": round(self._sums_s[stage], 6)} for stage, counts in self._counts.items()
        }
        return {"bounds_s": BOUNDS_S, **stages}
