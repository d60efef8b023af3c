"""The last hour in numbers, for the dashboard: rates and levels out of the service's own counts. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any

SPAN_S = 3600.0
INTERVAL_S = 5.0

Sample = dict[str, Any]
"""Numbers by name, None where there is none; `restarted` has the names of what was restarted since the one before."""


class History:
    """Samples, one every `INTERVAL_S`."""

    def __init__(self) -> None:
        self.samples: deque[Sample] = deque(maxlen=int(SPAN_S / INTERVAL_S))
        self._last: dict[str, float] | None = None
        self._worked: dict[str, dict[str, float]] = {}
        self._last_restarts: dict[str, int] = {}
        self._started = ""

    def add(self, status: Mapping[str, Any], http_errors: int, time_s: float) -> None:
        """Take in a status of the service and how many HTTP errors there were by then; `time_s` is that of the
        calendar."""
        last = self._last
        if last is not None and time_s < last["time_s"] + INTERVAL_S:
            return
        counts = self._last = _counts(status, http_errors, time_s)
        worked, self._worked = self._worked, {worker.get("name", ""): worker for worker in status["workers"]}
        restarted = self._restarted(status)
        if last is None:
            return
        changes = {name: _change(last[name], counts[name]) for name in counts}
        for name in _OF_WORKERS:  # of each by itself: one that began anew must not hide what others did
            changes[name] = sum(
                _change(worked.get(one, {}).get(name, 0), now[name]) for one, now in self._worked.items()
            )
        self.samples.append({"time_s": time_s, "restarted": restarted, **_levels(status), **_rates(changes)})
        if not changes["answered"]:  # what was asked long ago says nothing of now
            self.samples[-1].update(dict.fromkeys(_QUANTILES))

    def _restarted(self, status: Mapping[str, Any]) -> list[str]:
        """What has been restarted since this was asked last: processes by name, or the whole service."""
        before, started = self._last_restarts, self._started
        self._last_restarts = {one["name"]: one["restarts"] for one in status.get("processes", ())}
        self._started = str(status.get("server_start_time", ""))
        if started and started != self._started:
            return ["service"]
        return [name for name, number in self._last_restarts.items() if number > before.get(name, number)]


def _change(before: float, now: float) -> float:
    """By how much a count has grown; one that is smaller began anew at 0."""
    return now - before if now >= before else now


def _rates(change: Mapping[str, float]) -> Sample:
    """What happened between two counts."""
    span_s = change["time_s"]
    batches, padded = change["batches"], change["padded_tokens"]
    return {
        "sentences_per_s": change["batch_rows"] / span_s,
        "tokens_per_s": change["tokens"] / span_s,
        "http_errors_per_s": change["http_errors"] / span_s,
        "zmq_errors_per_s": change["zmq_errors"] / span_s,
        "rows_per_batch": change["batch_rows"] / batches if batches else None,
        "padding_percent": 100 * (1 - change["tokens"] / padded) if padded else None,
    }


def _levels(status: Mapping[str, Any]) -> Sample:
    """What is so at a moment."""
    latency, queue = status["latency"], status["queue"]
    return {
        **{name: latency.get(name) for name in _QUANTILES},
        "urgent_rows": queue["waiting_urgent_rows"],
        "bulk_rows": queue["waiting_bulk_rows"],
        "open_requests": queue["open_requests"],
        "wait_s": queue["wait_s"],
    }


def _counts(status: Mapping[str, Any], http_errors: int, time_s: float) -> dict[str, float]:
    answered = status["latency"]["answered"]
    return {"time_s": time_s, "answered": answered, "http_errors": http_errors, "zmq_errors": zmq_errors(status)}


def zmq_errors(status: Mapping[str, Any]) -> int:
    """Requests that the service refused, without those that came over HTTP: the gateway counts those."""
    return int(status["latency"]["refused"] - status["latency"].get("refused_by_http", 0))


_OF_WORKERS = ("batches", "batch_rows", "tokens", "padded_tokens")
_QUANTILES = ("p50_ms", "p95_ms", "p99_ms")
