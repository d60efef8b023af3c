"""What Prometheus scrapes: the gateway's own counts, and the service's as its last status gives them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric, SummaryMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.registry import Collector

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4
_PREFIX = "bert_serving"
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)


class Metrics:
    """`service` gives the last status, `is_ready` whether all is well."""

    def __init__(self, service: Callable[[], dict[str, Any]], is_ready: Callable[[], bool]) -> None:
        self._registry = CollectorRegistry()
        self._requests = Counter(
            f"{_PREFIX}_http_requests",
            "HTTP requests by route and status.",
            ["route", "status"],
            registry=self._registry,
        )
        self._durations = Histogram(
            f"{_PREFIX}_http_request_duration_seconds", "From the head of a request to the end of its answer.",
            ["route"], buckets=_SECONDS, registry=self._registry,
        )  # fmt: skip
        self._registry.register(_Service(service, is_ready))

    def count(self, route: str, status: int, took_s: float) -> None:
        """A request was answered."""
        self._requests.labels(route, str(status)).inc()
        self._durations.labels(route).observe(took_s)

    def as_text(self) -> bytes:
        """In the text format that Prometheus reads."""
        return generate_latest(self._registry)


class _Service(Collector):
    def __init__(self, service: Callable[[], dict[str, Any]], is_ready: Callable[[], bool]) -> None:
        self._service = service
        self._is_ready = is_ready

    def collect(self) -> Iterator[Metric]:
        yield _gauge("ready", "1 while every process is well and every worker encodes.", float(self._is_ready()))
        status = self._service()
        if "queue" not in status:
            return
        yield from _of_requests(status)
        yield from _of_workers(status["workers"])
        yield from _of_processes(status["processes"])


def _of_requests(status: dict[str, Any]) -> Iterator[Metric]:
    latency, queue, statistic = status["latency"], status["queue"], status["statistic"]
    yield SummaryMetricFamily(
        f"{_PREFIX}_request_seconds", "Accepted requests, from the door to the answer, by ZeroMQ and HTTP.",
        latency["answered"], latency["answered_s"],
    )  # fmt: skip
    yield _counter("requests_refused", "Requests answered with an error or turned away.", latency["refused"])
    yield _counter("sentences_received", "Texts in accepted requests.", statistic["num_total_seq"])
    yield _gauge("open_requests", "Requests that are not answered yet.", queue["open_requests"])
    waiting = GaugeMetricFamily(f"{_PREFIX}_queue_rows", "Texts that no worker has yet, by class.", labels=["class"])
    for kind in ("urgent", "bulk"):
        waiting.add_metric([kind], queue[f"waiting_{kind}_rows"])
    yield waiting
    yield _gauge("wait_seconds", "How long a request that comes now would wait, about.", queue["wait_s"])
    yield _gauge("active_clients", "Clients that have asked in the last three minutes.", statistic["num_active_client"])


def _of_workers(workers: list[dict[str, Any]]) -> Iterator[Metric]:
    counts = {
        "batches": "Micro-batches that were run.",
        "batch_rows": "Texts in them: what was encoded.",
        "tokens": "Tokens in them.",
        "padded_tokens": "Tokens in them if each text had the length of its batch's longest.",
    }
    for name, text in counts.items():
        metric = CounterMetricFamily(f"{_PREFIX}_worker_{name}", text, labels=["worker"])
        for worker in workers:
            metric.add_metric([worker["name"]], worker[name])
        yield metric
    stages = CounterMetricFamily(
        f"{_PREFIX}_worker_stage_seconds", "Time spent in each stage, added up over lanes.", labels=["worker", "stage"]
    )
    padding = GaugeMetricFamily(
        f"{_PREFIX}_worker_padding_ratio", "Share of padding in all tokens so far.", labels=["worker"]
    )
    for worker in workers:
        for stage in ("tokenize", "compute"):
            stages.add_metric([worker["name"], stage], worker[f"{stage}_s"])
        if worker["padded_tokens"]:
            padding.add_metric([worker["name"]], 1 - worker["tokens"] / worker["padded_tokens"])
    yield stages
    yield padding


def _of_processes(processes: list[dict[str, Any]]) -> Iterator[Metric]:
    up = GaugeMetricFamily(f"{_PREFIX}_process_up", "1 while a process is ready.", labels=["process", "device"])
    restarts = CounterMetricFamily(f"{_PREFIX}_process_restarts", "How often it was started again.", labels=["process"])
    for process in processes:
        up.add_metric([process["name"], process["device"]], float(process["state"] == "ready"))
        restarts.add_metric([process["name"]], process["restarts"])
    yield up
    yield restarts


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(f"{_PREFIX}_{name}", text, value)


def _counter(name: str, text: str, value: float) -> Metric:
    return CounterMetricFamily(f"{_PREFIX}_{name}", text, value)
