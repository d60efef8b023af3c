"""One point: creates the load that a `Spec` asks for, and turns the results into figures."""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import replace

from bert_serving.server.benchmark import load
from bert_serving.server.benchmark.figures import (
    MS,
    latency,
    number_of_repeats,
    padding_share,
    percentile,
    sentence_rates,
    spread,
    token_rates,
)
from bert_serving.server.benchmark.plan import ALONE, Spec
from bert_serving.server.benchmark.results import Kind, Point
from bert_serving.server.benchmark.targets import Session, Snapshot, Target, TargetError
from bert_serving.server.benchmark.workloads import TextPool, poisson_schedule

OVERRUN = 10
"""A request is awaited for this many times the duration of a point, so that a point ends whatever the server does."""

WARM_UP_TEXTS = 16

_POLL_S = 0.1


class Measurement:
    """One point. `duration_s` is the time of load; `num_repeat` the parts of it of which the median is taken."""

    def __init__(self, target: Target, pool: TextPool, spec: Spec, duration_s: float, num_repeat: int, seed: int):
        self._target = target
        self._pool = pool
        self._spec = spec
        self._duration_s = duration_s
        self._num_repeat = num_repeat
        self._seed = seed
        self._opened = ExitStack()

    def point(self) -> Point:
        """The figures. Raises what the server's first failure was if a closed loop got no answer at all."""
        make = {Kind.CLOSED: self._closed, Kind.OPEN: self._open, Kind.BESIDE: self._beside}[self._spec.kind]
        with self._opened:
            self._warm_up()
            before = self._target.snapshot()
            point = make()
            return replace(point, padding=padding_between(before, self._settled()))

    def _session(self) -> Session:
        session = self._target.session(OVERRUN * self._duration_s)
        self._opened.callback(session.close)
        return session

    def _warm_up(self) -> None:
        """Texts of the kind that is about to come, so that no first time is measured."""
        texts, _ = self._pool.request(0, WARM_UP_TEXTS)
        self._session().encode(texts)

    def _settled(self) -> Snapshot:
        """What the server has counted once it has no more to do: what is left over would slow the next point."""
        deadline = time.monotonic() + OVERRUN * self._duration_s
        while (snapshot := self._target.snapshot()).open_requests and time.monotonic() < deadline:
            time.sleep(_POLL_S)
        return snapshot

    # -- the kinds of load --------------------------------------------------------------------------------------------

    def _closed(self) -> Point:
        spec = self._spec
        sessions = [self._session() for _ in range(spec.num_client)]
        return self._rated(
            load.closed_loop(sessions, self._pool, spec.client_batch_size, self._duration_s), spec.num_client
        )

    def _open(self) -> Point:
        done = self._singles()
        answers = [answer for answer in done.answers if answer is not None]
        in_time = load.Closed(done.began_s, done.began_s + self._duration_s, answers)
        return _with_latencies(self._rated(in_time, 1) if answers else self._bare(), done)

    def _beside(self) -> Point:
        spec = self._spec
        if spec.value == ALONE:
            return _with_latencies(self._bare(), self._singles())
        bulk, singles = load.beside_bulk(
            self._session(), spec.client_batch_size, self._session(), self._pool, self._schedule(), self._duration_s
        )
        return _with_latencies(self._rated(bulk, load.BULK_IN_FLIGHT), singles)

    def _singles(self) -> load.Open:
        return load.open_loop(self._session(), self._pool, self._schedule(), self._duration_s)

    def _schedule(self) -> list[float]:
        schedule = poisson_schedule(self._spec.rate, self._duration_s, self._seed)
        if not schedule:
            raise TargetError(f"at {self._spec.rate:g} requests/s none is due within -duration: raise it")
        return schedule

    # -- figures ------------------------------------------------------------------------------------------------------

    def _bare(self) -> Point:
        return Point(self._spec.value, self._spec.texts)

    def _rated(self, done: load.Closed, num_client: int) -> Point:
        """Rates and latencies of what was answered."""
        if not done.samples:
            raise TargetError(done.errors[0] if done.errors else "no request was answered: raise -duration")
        repeats = number_of_repeats(done.samples, self._num_repeat, num_client)
        span = done.began_s, done.ended_s, repeats
        tokens = token_rates(done.samples, *span)
        return replace(
            self._bare(),
            requests=len(done.samples),
            repeats=repeats,
            sentences_per_s=spread(sentence_rates(done.samples, *span)),
            tokens_per_s=None if tokens is None else spread(tokens),
            latency_ms=latency([sample.ended_s - sample.began_s for sample in done.samples]),
            failed=len(done.errors),
        )


def _with_latencies(point: Point, done: load.Open) -> Point:
    """The point with the latencies of an open loop."""
    arrivals = done.arrivals()
    late_s = [sent - due for sent, due in zip(done.sent_s, done.scheduled_s, strict=True)]
    return replace(
        point,
        requests=len(done.answers),
        latency_ms=latency(arrivals.latencies_s),
        lag_ms=percentile(late_s, 99) * MS,
        failed=point.failed + len(done.errors),
        unanswered=arrivals.unanswered,
    )


def padding_between(before: Snapshot, after: Snapshot) -> float | None:
    """The share of padding in what a server computed between two looks at it; None if it does not tell."""
    counts = before.tokens, after.tokens, before.padded_tokens, after.padded_tokens
    known = [count for count in counts if count is not None]
    if len(known) < len(counts):
        return None
    return padding_share(known[1] - known[0], known[3] - known[2])
