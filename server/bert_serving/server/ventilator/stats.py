"""Counts of requests and clients, as SHOW_STATUS gives them under `statistic`. Pure: time is passed in.

The gateway's own clients are no clients here: they stand for those who ask over HTTP, and watch the service.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Set
from typing import Any

from bert_serving.server.transport.meeting import GATEWAY_CLIENT
from bert_serving.server.ventilator.durations import Durations

ACTIVE_S = 180.0
"""A client counts as active this long after its last request, as in 1.10."""

INTERVALS = 200
"""Rates are those of this many last requests."""

LATENCIES = 1_000
LATENCY_WINDOW_S = 60.0
"""Quantiles are those of the last `LATENCIES` answers of this span."""

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
        self._num_answered = self._num_refused = self._num_refused_by_http = 0
        self._answered_s = 0.0
        self._latencies_s: deque[tuple[float, float]] = deque(maxlen=LATENCIES)
        self.durations = Durations()
        self._requests_by_key: Counter[str] = Counter()
        self._texts_by_key: Counter[str] = Counter()

    def answered(self, took_s: float, now_s: float) -> None:
        """An accepted request was answered, so long after it came."""
        self._num_answered += 1
        self._answered_s += took_s
        self._latencies_s.append((now_s, took_s))
        self.durations.add("whole", took_s)

    def refused(self, identity: bytes) -> None:
        """A request was answered with an error, or turned away."""
        self._num_refused += 1
        self._num_refused_by_http += identity.startswith(GATEWAY_CLIENT)

    def data_request(self, identity: bytes, size: int, now_s: float, key_name: str | None = None) -> None:
        """A request with `size` texts was accepted, which came with the key of that name."""
        if key_name is not None:
            self._requests_by_key[key_name] += 1
            self._texts_by_key[key_name] += size
        if not identity.startswith(GATEWAY_CLIENT):
            self._seen(identity, now_s)
            self._count_client(identity, self._requests.get(identity, 0) + 1)
        self._sizes[size] += 1
        self._num_total_seq += size
        if self._last_request_s is not None:
            self._intervals_s.append(now_s - self._last_request_s)
        self._last_request_s = now_s

    def sys_request(self, identity: bytes, now_s: float) -> None:
        """A config, status or other command was asked for."""
        if not identity.startswith(GATEWAY_CLIENT):
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
        clients = self._clients_by_requests
        if before := self._requests.pop(identity, 0):
            if clients[before] > 1:
                clients[before] -= 1
            else:
                del clients[before]
        if requests:
            clients[requests] = clients.get(requests, 0) + 1
            self._requests[identity] = requests

    def _num_active(self, now_s: float) -> int:
        while self._active_s:
            identity, seen_s = next(iter(self._active_s.items()))
            if now_s - seen_s < ACTIVE_S:
                break
            del self._active_s[identity]
        return len(self._active_s)

    def as_latency(self, now_s: float) -> dict[str, float | int]:
        """How long requests took from acceptance to answer: all of them, and quantiles of those of late, if any."""
        ordered = sorted(took_s for at_s, took_s in self._latencies_s if at_s > now_s - LATENCY_WINDOW_S)
        quantiles = {
            f"p{percent}_ms": 1000 * ordered[min(len(ordered) - 1, len(ordered) * percent // 100)]
            for percent in (50, 95, 99)
            if ordered
        }
        counts = {
            "answered": self._num_answered,
            "refused": self._num_refused,
            "refused_by_http": self._num_refused_by_http,
            "answered_s": self._answered_s,
        }
        return {**counts, **quantiles}

    def as_keys(self, names: Set[str]) -> dict[str, dict[str, int]]:
        """Requests and texts of each key that has asked. `names` are those that there are now; others are forgotten."""
        for gone in self._requests_by_key.keys() - names:
            del self._requests_by_key[gone], self._texts_by_key[gone]
        return {
            name: {"requests": number, "texts": self._texts_by_key[name]}
            for name, number in sorted(self._requests_by_key.items())
        }

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
