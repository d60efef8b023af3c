"""The last hour in numbers, for the dashboard: rates and levels out of the service's own counts. Pure."""

from __future__ import annotations

from collections import deque
from typing import Any

SPAN_S = 3600.0
INTERVAL_S = 5.0


class History:
    """Samples, one every `INTERVAL_S`."""

    def __init__(self) -> None:
        self.samples: deque[dict[str, float | None]] = deque(maxlen=int(SPAN_S / INTERVAL_S))
        self._last: dict[str, float] | None = None

    def add(self, status: dict[str, Any], errors: int, time_s: float) -> None:
        """Take in a status of the service and how many errors there were by then; `time_s` is that of the calendar."""
        counts = _counts(status, errors, time_s)
        last, self._last = self._last, counts
        if last is None:
            return
        if time_s < last["time_s"] + INTERVAL_S:
            self._last = last
            return
        latency, queue = status["latency"], status["queue"]
        span_s = time_s - last["time_s"]

        def change(name: str) -> float:
            return max(0.0, counts[name] - last[name])  # a worker that is new begins at 0

        batches, padded = change("batches"), change("padded_tokens")
        answered = bool(change("answered"))
        self.samples.append(
            {
                "time_s": time_s,
                "sentences_per_s": change("batch_rows") / span_s,
                "tokens_per_s": change("tokens") / span_s,
                "errors_per_s": change("errors") / span_s,
                "p50_ms": latency.get("p50_ms") if answered else None,
                "p95_ms": latency.get("p95_ms") if answered else None,
                "p99_ms": latency.get("p99_ms") if answered else None,
                "urgent_rows": queue["waiting_urgent_rows"],
                "bulk_rows": queue["waiting_bulk_rows"],
                "rows_per_batch": change("batch_rows") / batches if batches else None,
                "padding_percent": 100 * (1 - change("tokens") / padded) if padded else None,
                "clients": status["statistic"]["num_active_client"],
            }
        )


def _counts(status: dict[str, Any], errors: int, time_s: float) -> dict[str, float]:
    workers = status["workers"]
    sums = {name: sum(worker[name] for worker in workers) for name in _SUMMED}
    answered = status["latency"]["answered"]
    return {**sums, "answered": answered, "errors": errors, "time_s": time_s}


_SUMMED = ("batches", "batch_rows", "tokens", "padded_tokens")
