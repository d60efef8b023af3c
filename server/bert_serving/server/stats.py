"""Counts of requests and clients, as SHOW_STATUS gives them under `statistic`. Pure: time is passed in."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable
from typing import Any

ACTIVE_S = 180.0
"""A client counts as active this long after its last request, as in 1.10."""

INTERVALS = 200
"""Rates are those of this many last requests."""

MAX_CLIENTS = 10_000
"""Clients that are told apart; beyond it the one that was silent longest is forgotten."""


class Statistic:
    """What the ventilator has seen."""

    def __init__(self) -> None:
        self._num_sys_request = 0
        self._num_total_seq = 0
        self._num_total_client = 0
        self._requests: Counter[bytes] = Counter()
        self._sizes: Counter[int] = Counter()
        self._last_seen_s: dict[bytes, float] = {}
        self._intervals_s: deque[float] = deque(maxlen=INTERVALS)
        self._last_request_s: float | None = None

    def data_request(self, identity: bytes, size: int, now_s: float) -> None:
        """A request with `size` texts was accepted."""
        self._seen(identity, now_s)
        self._requests[identity] += 1
        self._sizes[size] += 1
        self._num_total_seq += size
        if self._last_request_s is not None:
            self._intervals_s.append(now_s - self._last_request_s)
        self._last_request_s = now_s

    def sys_request(self, identity: bytes, now_s: float) -> None:
        """A config, status or other command was asked for."""
        self._seen(identity, now_s)
        self._num_sys_request += 1

    def _seen(self, identity: bytes, now_s: float) -> None:
        if self._last_seen_s.pop(identity, None) is None:
            self._num_total_client += 1
        self._last_seen_s[identity] = now_s  # the dict is ordered by when a client was last seen
        if len(self._last_seen_s) > MAX_CLIENTS:
            forgotten = next(iter(self._last_seen_s))
            del self._last_seen_s[forgotten]
            self._requests.pop(forgotten, None)

    def as_status(self, now_s: float) -> dict[str, Any]:
        """The fields of 1.10."""
        num_data_request = self._sizes.total()
        rates = [1 / interval for interval in self._intervals_s if interval > 0]
        return {
            "num_data_request": num_data_request,
            "num_total_seq": self._num_total_seq,
            "num_sys_request": self._num_sys_request,
            "num_total_request": num_data_request + self._num_sys_request,
            "num_total_client": self._num_total_client,
            "num_active_client": sum(now_s - seen < ACTIVE_S for seen in self._last_seen_s.values()),
            **_summary("request_per_client", self._requests),
            **_summary("size_per_request", self._sizes, num_data_request, self._num_total_seq),
            **_summary("last_two_interval", Counter(self._intervals_s)),
            **_summary("request_per_second", Counter(rates)),
        }


def _summary(
    name: str, counts: Counter[Any], number: int | None = None, total: float | None = None
) -> dict[str, float | int]:
    """avg, min, max and how often min and max occur.

    `counts` holds value -> how often; of clients it holds client -> value.
    """
    if not counts:
        return {}
    values: Iterable[float] = counts.values() if name == "request_per_client" else counts.elements()
    listed = list(values) if number is None else []
    low, high = (min(counts), max(counts)) if number else (min(listed), max(listed))
    return {
        f"avg_{name}": (total or 0) / number if number else sum(listed) / len(listed),
        f"min_{name}": low,
        f"max_{name}": high,
        f"num_min_{name}": counts[low] if number else listed.count(low),
        f"num_max_{name}": counts[high] if number else listed.count(high),
    }
