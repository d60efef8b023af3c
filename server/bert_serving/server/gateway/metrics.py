"""What Prometheus scrapes: the gateway's own counts, and the service's as its last status gives them.

Names, labels and help texts stand in `metric_table.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import accumulate
from typing import Any, cast

from prometheus_client import CollectorRegistry, Counter, Histogram, disable_created_metrics
from prometheus_client.core import Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.registry import Collector

from bert_serving.server.gateway.backend import Backend
from bert_serving.server.gateway.metric_table import METRICS, PREFIX, family
from bert_serving.server.gateway.services import Services
from bert_serving.server.gateway.uptime import uptime_s

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)

disable_created_metrics()  # type: ignore[no-untyped-call]  # a gauge for each counter, which says when it began: nobody asks for it


class Metrics:
    """Of all services. A server's own gateway has one, and gives its metrics as they are; where services stand by name,
    each metric has two labels more, `model` and `endpoint`, the number of the service among those of that name."""

    def __init__(self, services: Services) -> None:
        self._registry = CollectorRegistry()
        requests, durations = METRICS["http_requests"], METRICS["http_request_duration_seconds"]
        self._requests = Counter(f"{PREFIX}_{requests.name}", requests.text, requests.labels, registry=self._registry)
        self._durations = Histogram(
            f"{PREFIX}_{durations.name}", durations.text, durations.labels, buckets=_SECONDS, registry=self._registry
        )
        self._registry.register(_OfServices(services))

    def count(self, route: str, status: int, took_s: float) -> None:
        """A request was answered."""
        self._requests.labels(route, str(status)).inc()
        self._durations.labels(route).observe(took_s)

    def add(self, collector: Collector) -> None:
        """Of another part of the gateway."""
        self._registry.register(collector)

    def as_text(self) -> bytes:
        """In the text format that Prometheus reads."""
        return generate_latest(self._registry)


class _OfServices(Collector):
    def __init__(self, services: Services) -> None:
        self._services = services

    def collect(self) -> Iterator[Metric]:
        members = list(self._services.members)
        if len(members) == 1 and members[0][1].place is None:
            return _of_service(members[0][1].backend)
        return merged(
            ({"model": name, "endpoint": str(member.number)}, [*_of_service(member.backend), _asked(member.backend)])
            for name, member in members
        )


def merged(labelled: Iterable[tuple[dict[str, str], Iterable[Metric]]]) -> Iterator[Metric]:
    """Metrics of several services as one of each name, whose samples have these labels before their own."""
    families: dict[str, Metric] = {}
    for labels, metrics in labelled:
        for metric in metrics:
            family = families.setdefault(metric.name, Metric(metric.name, metric.documentation, metric.type))
            family.samples += [one._replace(labels={**labels, **one.labels}) for one in metric.samples]
    yield from families.values()


def _of_service(backend: Backend) -> Iterator[Metric]:
    yield _one("ready", float(backend.trouble is None))
    yield _one("http_requests_running", backend.slots.at_work)
    yield _one("http_requests_waiting", backend.slots.waiting)
    status = backend.status
    if "queue" not in status:
        return
    yield _build_info(status)
    if (up_s := uptime_s(status)) is not None:
        yield _one("uptime_seconds", up_s)
    yield from _of_requests(status)
    yield from _of_durations(status)
    yield from _of_workers(status["workers"])
    yield from _of_processes(status["processes"])


def _asked(backend: Backend) -> Metric:
    return _one("http_service_requests", backend.requests)


def _build_info(status: dict[str, Any]) -> Metric:
    info = family("build_info")
    version, name = str(status.get("version", "")), str(status.get("model_name", ""))
    fingerprint = str((status.get("model") or {}).get("fingerprint", ""))
    tensorflow = ".".join(status.get("tensorflow_version") or ())
    info.add_metric([version, name, fingerprint, tensorflow, str(status.get("python_version", ""))], 1.0)
    return cast(Metric, info)


def _of_requests(status: dict[str, Any]) -> Iterator[Metric]:
    queue, statistic = status["queue"], status["statistic"]
    yield _one("requests_refused", status["latency"]["refused"])
    yield _one("sentences_received", statistic["num_total_seq"])
    yield _one("open_requests", queue["open_requests"])
    waiting = family("queue_rows")
    for kind in ("urgent", "bulk"):
        waiting.add_metric([kind], queue[f"waiting_{kind}_rows"])
    yield waiting
    yield _one("wait_seconds", queue["wait_s"])
    yield _one("active_clients", statistic["num_active_client"])


def _of_durations(status: dict[str, Any]) -> Iterator[Metric]:
    latency, durations = status["latency"], status.get("durations")
    whole = family("request_seconds")
    if durations is None:  # a service of before there were any
        whole.add_metric([], [("+Inf", latency["answered"])], latency["answered_s"])
        yield whole
        return
    bounds = [*map(str, durations["bounds_s"]), "+Inf"]

    def buckets(stage: str) -> list[tuple[str, float]]:
        return list(zip(bounds, accumulate(durations[stage]["counts"]), strict=True))

    whole.add_metric([], buckets("whole"), latency["answered_s"])
    yield whole
    stages = family("request_stage_seconds")
    for stage in (one for one in durations if one not in ("bounds_s", "whole")):
        stages.add_metric([stage], buckets(stage), durations[stage]["sum_s"])
    yield stages


def _of_workers(workers: list[dict[str, Any]]) -> Iterator[Metric]:
    for name in ("batches", "batch_rows", "tokens", "padded_tokens"):
        metric = family(f"worker_{name}")
        for worker in workers:
            metric.add_metric([worker["name"]], worker[name])
        yield metric
    stages, padding = family("worker_stage_seconds"), family("worker_padding_ratio")
    for worker in workers:
        for stage in ("tokenize", "compute"):
            stages.add_metric([worker["name"], stage], worker[f"{stage}_s"])
        if worker["padded_tokens"]:
            padding.add_metric([worker["name"]], 1 - worker["tokens"] / worker["padded_tokens"])
    yield stages
    yield padding


def _of_processes(processes: list[dict[str, Any]]) -> Iterator[Metric]:
    up, restarts = family("process_up"), family("process_restarts")
    for process in processes:
        up.add_metric([process["name"], process["device"]], float(process["state"] == "ready"))
        restarts.add_metric([process["name"]], process["restarts"])
    yield up
    yield restarts


def _one(name: str, value: float) -> Metric:
    """A metric of the table that has one sample."""
    metric = family(name)
    metric.add_metric([], value)
    return cast(Metric, metric)
