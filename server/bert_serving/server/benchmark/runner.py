"""Runs the plan: starts the server that each point needs, and measures one point after the other."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace

from bert_serving.client import BertServingError
from bert_serving.server.benchmark.arguments import Settings
from bert_serving.server.benchmark.measurement import Measurement
from bert_serving.server.benchmark.plan import Spec, make_plan, skipped_parameters
from bert_serving.server.benchmark.results import Point, Report
from bert_serving.server.benchmark.server import OwnServer, with_free_ports
from bert_serving.server.benchmark.targets import COUNTED_BY_ASKING, Target, find_target
from bert_serving.server.benchmark.tokens import Count, counter_of_model, model_text
from bert_serving.server.benchmark.workloads import TextPool, counted, make_pool
from bert_serving.server.config import ServerConfig
from bert_serving.server.errors import BertServerError

Measured = Callable[[Spec, Point], None]


def plan_of(settings: Settings, report: Report) -> list[Spec]:
    """All points to be measured; notes in the report what a running server does not allow."""
    skipped = skipped_parameters(settings.choices) if settings.target else []
    if skipped:
        report.note(
            f"{settings.target} was already running, so its options could not be varied: there is no table for "
            f"{', '.join(skipped)}."
        )
    return make_plan(settings.choices, None if settings.target else settings.config)


def run(settings: Settings, report: Report, plan: Sequence[Spec], measured: Measured) -> None:
    """Measure all points and tell each to `measured`. What fails is a point with a `problem`, and the others go on.

    Raises BertServerError or BertServingError if the server of -target, or the model, cannot be used at all.
    """
    with Benches(settings, report) as benches:
        if settings.target:
            benches.running_already()
        elif settings.config is not None:
            _resolve(settings.config)
        for spec in plan:
            point = _measure(settings, benches, spec)
            report.table(spec.table, spec.kind).points.append(point)
            measured(spec, point)


def _measure(settings: Settings, benches: Benches, spec: Spec) -> Point:
    try:
        bench = benches.running_already() if spec.config is None else benches.started(spec.config)
        pool = bench.pool(spec.texts)
        return Measurement(bench.target, pool, spec, settings.duration_s, settings.num_repeat, settings.seed).point()
    except (BertServerError, BertServingError) as error:
        return Point(spec.value, spec.texts, problem=str(error))


def _resolve(config: ServerConfig) -> ServerConfig:
    """The config with what the model's folder says; raises where it does not fit the model. Takes no TensorFlow."""
    resolved: ServerConfig = importlib.import_module(config.engine).resolve(config)
    return resolved


@dataclass
class Bench:
    """A running server with the texts for it. `count` is None if nobody knows how its tokens are counted."""

    target: Target
    settings: Settings
    max_seq_len: int | None
    count: Count | None
    _pools: dict[str, TextPool] = field(default_factory=dict)

    def pool(self, kind: str) -> TextPool:
        """The texts of that kind, made once."""
        if kind not in self._pools:
            pool = make_pool(kind, self.settings.text, self.max_seq_len, self.settings.seed)
            if self.count is not None and self.settings.config is None:
                pool = replace(pool, texts=pool.texts[:COUNTED_BY_ASKING])
            self._pools[kind] = counted(pool, self.count)
        return self._pools[kind]


class Benches:
    """Has one server running, and another one when another config is asked for. A context manager."""

    def __init__(self, settings: Settings, report: Report) -> None:
        self._settings = settings
        self._report = report
        self._running = ExitStack()
        self._config: ServerConfig | None = None
        self._bench: Bench | None = None

    def __enter__(self) -> Benches:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._running.close()

    def started(self, config: ServerConfig) -> Bench:
        """A server of our own with that config. Raises what keeps it from starting."""
        if self._bench is None or config != self._config:
            self._running.close()
            self._bench = None
            self._bench = self._start(config)
            self._config = config
        return self._bench

    def running_already(self) -> Bench:
        """The server of -target. Raises if it does not encode."""
        self._bench = self._bench or self._find()
        return self._bench

    def _start(self, config: ServerConfig) -> Bench:
        settings = self._settings
        resolved = _resolve(config)
        log = settings.output / "server.log"
        server = OwnServer(with_free_ports(config), log, settings.wait_till_ready_s)
        target = self._running.enter_context(server)
        self._report.server = self._report.server or {**target.about(), "model": model_text(resolved)}
        return Bench(target, settings, resolved.max_seq_len, counter_of_model(resolved))

    def _find(self) -> Bench:
        settings = self._settings
        target = find_target(settings.target or "", settings.target_model, settings.wait_till_ready_s)
        session = target.session(settings.wait_till_ready_s)
        session.encode(["Is anybody there?"])
        session.close()
        self._report.server = target.about()
        max_seq_len = self._report.server.get("max_seq_len", ServerConfig.max_seq_len)
        if settings.config is None:
            return Bench(target, settings, max_seq_len, target.counter())
        given = replace(_resolve(settings.config), max_seq_len=max_seq_len)
        return Bench(target, settings, max_seq_len, counter_of_model(given))
