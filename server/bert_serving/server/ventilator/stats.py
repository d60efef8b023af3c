"""Counts of requests and clients, as SHOW_STATUS gives them under `statistic`. Pure: time is passed in."""

from __future__ import annotations

from collections import Counter, deque
from typing import Any

ACTIVE_S = 180.0
"""A client counts as active this long after its last request, as in 1.10."""

INTERVALS = 200
"""Rates are those of this many last requests."""

LATENCIES = 1_000

MAX_CLIENTS = 10_000
"""Clients that are told apart; beyond it the one that was silent longest is forgotten."""


class Statistic:
    """What the ventilator has seen."""

    def __init__(self) -> None:
        self._num_sys_request = 0
        self._num_total_seq = 0
        self._num_total_client = 0
        self._requests: Counter[bytes] = Counter()
        self._clients_by_requests: Counter[int] = Counter()
        self._sizes: Counter[int] = Counter()
        self._last_seen_s: dict[bytes, float] = {}
        self._active_s: dict[bytes, float] = {}
        self._intervals_s: deque[float] = deque(maxlen=INTERVALS)
        self._last_request_s: float | None = None
        self._num_answered = self._num_refused = 0
        self._answered_s = 0.0
        self._latencies_s: deque[float] = deque(maxlen=LATENCIES)

    def answered(self, took_s: float) -> None:
        """An accepted request was answered, so long after it came."""
        self._num_answered += 1
        self._answered_s += took_s
        self._latencies_s.append(took_s)

    def refused(self) -> None:
        """A request was answered with an error, or turned away."""
        self._num_refused += 1

    def data_request(self, identity: bytes, size: int, now_s: float) -> None:
        """A request with `size` texts was accepted."""
        self._seen(identity, now_s)
        self._count_client(identity, self._requests[identity] + 1)
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
        self._active_s.pop(identity, None)
        self._last_seen_s[identity] = self._active_s[identity] = now_s  # both are in the order of that time
        if len(self._last_seen_s) > MAX_CLIENTS:
            forgotten = next(iter(self._last_seen_s))
            del self._last_seen_s[forgotten]
            self._active_s.pop(forgotten, None)
            self._count_client(forgotten, 0)

    def _count_client(self, identity: bytes, requests: int) -> None:
        """Keep how many clients have made how many requests, so that nobody has to look at each."""
        before = self._requests.pop(identity, 0)
        for number, change in ((before, -1), (requests, 1)):
            if number:
                self._clients_by_requests[number] += change
                if not self._clients_by_requests[number]:
                    del self._clients_by_requests[number]
        if requests:
            self._requests[identity] = requests

    def _num_active(self, now_s: float) -> int:
        while self._active_s:
            identity, seen_s = next(iter(self._active_s.items()))
            if now_s - seen_s < ACTIVE_S:
                break
            del self._active_s[identity]
        return len(self._active_s)

    def as_latency(self) -> dict[str, float | int]:
        """How long requests took from door to door: all of them, and the quantiles of the last `LATENCIES`."""
        ordered = sorted(self._latencies_s)
        quantiles = {
            f"p{percent}_ms": 1000 * ordered[min(len(ordered) - 1, len(ordered) * percent // 100)]
            for percent in (50, 95, 99)
            if ordered
        }
        counts = {"answered": self._num_answered, "refused": self._num_refused, "answered_s": self._answered_s}
        return {**counts, **quantiles}

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
            "num_active_client": self._num_active(now_s),
            **_summary("request_per_client", self._clients_by_requests),
            **_summary("size_per_request", self._sizes),
            **_summary("last_two_interval", Counter(self._intervals_s)),
            **_summary("request_per_second", Counter(rates)),
        }


def _summary(name: str, counts: Counter[Any]) -> dict[str, float | int]:
    """avg, min, max and how often min and max occur. `counts` holds value -> how often."""
    if not counts:
        return {}
    low, high = min(counts), max(counts)
    return {
        f"avg_{name}": sum(value * number for value, number in counts.items()) / counts.total(),
        f"min_{name}": low,
        f"max_{name}": high,
        f"num_min_{name}": counts[low],
        f"num_max_{name}": counts[high],
    }
