"""Every metric of `/metrics` by its name: its kind, its labels and what it means. Pure.

`docs/reference/metrics.md`, the Grafana dashboard and the alert rules are checked against this table.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

PREFIX = "bert_serving"
SUFFIXES = {"counter": ("_total",), "gauge": ("",), "histogram": ("_bucket", "_sum", "_count")}
"""By kind: how the names of a metric's series end."""


@dataclass(frozen=True)
class Family:
    """One metric. `name` has neither prefix nor suffix; `labels` are its own, see `EVERYWHERE` for those of a gateway
    of several services."""

    name: str
    kind: str
    labels: tuple[str, ...]
    text: str

    @property
    def full_name(self) -> str:
        """As it is exposed: that of its series, or of a histogram what its series have in common."""
        return f"{PREFIX}_{self.name}" + ("_total" if self.kind == "counter" else "")

    @property
    def series(self) -> list[str]:
        """The names that a query may have."""
        return [f"{PREFIX}_{self.name}{suffix}" for suffix in SUFFIXES[self.kind]]


EVERYWHERE = ("model", "endpoint")
"""Labels beside their own that all metrics of services have at `bert-serving-gateway`."""

_FAMILIES = (
    # the service
    Family("build_info", "gauge", ("version", "model_name", "fingerprint", "tensorflow", "python"),
           "Always 1. Its labels say what runs: the server's version, the model and its fingerprint."),
    Family("ready", "gauge", (), "1 if every process is up and every worker encodes, 0 otherwise."),
    Family("uptime_seconds", "gauge", (), "Seconds since the server was started."),
    # requests, by ZeroMQ and by HTTP
    Family("request_seconds", "histogram", (),
           "Time from accepting a request to its answer, for requests over ZeroMQ and HTTP."),
    Family("request_stage_seconds", "histogram", ("stage",),
           "Time that requests over ZeroMQ and HTTP spend in each stage. queue: until a worker gets the request. "
           "tokenize: until its texts are tokens. compute: until its vectors are there, including the wait for a "
           "micro-batch. A request that is split among workers counts once, by its first part."),
    Family("requests_refused", "counter", (),
           "Requests over ZeroMQ and HTTP that the service turned away or answered with an error."),
    Family("sentences_received", "counter", (), "Texts in accepted requests."),
    Family("open_requests", "gauge", (), "Accepted requests that have no answer yet."),
    Family("queue_rows", "gauge", ("class",),
           "Texts that no worker has yet. class is urgent for requests of at most -priority_batch_size texts, "
           "bulk for all others."),
    Family("wait_seconds", "gauge", (), "Predicted wait of a request that arrives now."),
    Family("active_clients", "gauge", (),
           "ZeroMQ clients that sent anything in the last three minutes. The gateway itself is not counted."),
    # workers
    Family("worker_batches", "counter", ("worker",), "Micro-batches that a worker has computed."),
    Family("worker_batch_rows", "counter", ("worker",), "Texts in these micro-batches."),
    Family("worker_tokens", "counter", ("worker",), "Tokens in these micro-batches, without padding."),
    Family("worker_padded_tokens", "counter", ("worker",), "Tokens in these micro-batches, including padding."),
    Family("worker_padding_ratio", "gauge", ("worker",),
           "Share of padding in all tokens since the worker started, from 0 to 1."),
    Family("worker_stage_seconds", "counter", ("worker", "stage"),
           "Seconds that a worker's threads have spent in each stage, tokenize or compute. Threads run side by side, "
           "so this may grow by more than a second per second."),
    # processes
    Family("process_up", "gauge", ("process", "device"), "1 if this process is ready, 0 otherwise."),
    Family("process_restarts", "counter", ("process",), "How often this process was restarted."),
    # the gateway
    Family("http_requests", "counter", ("route", "status"),
           'HTTP requests by route and status. Paths that are no route count as "other".'),
    Family("http_request_duration_seconds", "histogram", ("route",),
           "Time from the head of an HTTP request to the end of its answer."),
    Family("http_requests_running", "gauge", (), "HTTP requests that are being encoded, at most -http_max_connect."),
    Family("http_requests_waiting", "gauge", (), "HTTP requests that wait for one of these to end."),
    Family("http_service_requests", "counter", (),
           "HTTP requests that were passed to this service. Only at bert-serving-gateway."),
    Family("http_key_texts", "counter", ("key",), "Texts in answers, by the name of the API key (-http_api_keys)."),
    Family("http_key_tokens", "counter", ("key",), "Tokens in these texts, by the name of the API key."),
)  # fmt: skip

_KINDS = {"counter": CounterMetricFamily, "gauge": GaugeMetricFamily, "histogram": HistogramMetricFamily}
METRICS = {one.name: one for one in _FAMILIES}


def family(name: str) -> Any:
    """A metric of the table, to add samples to: of its kind, with its help text and its labels."""
    about = METRICS[name]
    return _KINDS[about.kind](f"{PREFIX}_{about.name}", about.text, labels=about.labels)


def all_series() -> Iterator[str]:
    """The name of each series."""
    return (name for one in _FAMILIES for name in one.series)


def as_markdown() -> str:
    """The table of the documentation."""
    rows = (
        f"| `{one.full_name}` | {one.kind} | {', '.join(f'`{label}`' for label in one.labels)} | {one.text} |"
        for one in _FAMILIES
    )
    return "\n".join(("| Metric | Type | Labels | Meaning |", "| --- | --- | --- | --- |", *rows))
