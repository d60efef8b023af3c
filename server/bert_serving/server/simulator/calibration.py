"""Costs from measured loads: a real server with texts of one length at a time, and the ventilator's steps.

Single texts come alone, with a pause in between, or from clients that keep all lanes busy: so the fit sees how lanes
slow one another down. Each load is measured in several rounds, and the median counts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import log
from statistics import median, stdev
from typing import Any

import numpy as np

from bert_serving.server.benchmark.workloads import TextPool
from bert_serving.server.config import ServerConfig
from bert_serving.server.core.scheduler import part_rows
from bert_serving.server.simulator import ventilator_cost
from bert_serving.server.simulator.cost import ClientCost, ComputeCost, Costs, InOutCost, SinkCost, VentilatorCost
from bert_serving.server.simulator.probe import Counted, Probe, latencies_s

_SPECIAL_TOKENS = 2
PAUSE_S = 0.1
"""From one text that comes alone to the next."""
_TURNS = 3
"""Of the loop for one request alone: it comes, its worker is done, its answer is delivered."""
_TYPICAL_CHARACTERS = 90


@dataclass(frozen=True, slots=True)
class Load:
    """`clients` that each have one request of `rows` texts under way, all of `length` tokens; or one text at a time."""

    length: int
    rows: int = 1
    clients: int = 0

    @property
    def is_alone(self) -> bool:
        """Whether there is one text at a time, with a pause before the next."""
        return not self.clients


LOADS = (
    *(Load(length) for length in (8, 16, 24, 40, 64, 96, 128)),
    *(Load(length, 1, 2) for length in (8, 32, 128)),
    *(Load(length, 1, 16) for length in (16, 64)),
    *(Load(length, 256, 2) for length in (8, 14)),
    *(Load(length, 128, 2) for length in (24, 40)),
    *(Load(length, 64, 2) for length in (56, 72, 90, 128)),
)


@dataclass(frozen=True, slots=True)
class Measured:
    """One load in one round."""

    load: Load
    requests: int
    counted: Counted
    latency_s: float
    spread: float
    """Of the latencies of texts that came alone, see `ComputeCost`."""


def measure(probe: Probe, load: Load, duration_s: float) -> Measured:
    """One round of a load, on a server with one worker."""
    pool = TextPool((" ".join(["a"] * (load.length - _SPECIAL_TOKENS)),))
    if load.is_alone:
        counted, opened = probe.paced(pool, PAUSE_S, duration_s)
        took_s = latencies_s(opened)
    else:
        counted, closed = probe.closed(pool, load.rows, load.clients, duration_s)
        took_s = latencies_s(closed)
    return Measured(load, len(took_s), counted, median(took_s), stdev(map(log, took_s)))


def fit(measured: Sequence[Measured], lengths: Sequence[int], lanes: int, about: Mapping[str, Any]) -> Costs:
    """All costs from the rounds of all LOADS, and from the ventilator's steps, which are timed now.

    `lengths` are kept for traces, `about` with what the fit came to beside it.
    """
    compute = fit_compute(measured, lanes, max(lengths))
    in_out = fit_in_out(measured)
    ventilator = _with_wake(ventilator_cost.measure("x" * _TYPICAL_CHARACTERS), measured)
    sink, client = fit_sink(measured), fit_client(measured)
    hop_s = _hop_s(measured, compute, in_out, ventilator, sink, client)
    lines = [_fit_line(load, measured, compute, lanes) for load in LOADS]
    return Costs(compute, in_out, ventilator, sink, client, hop_s, tuple(lengths), {**about, "fit": lines})


# -- a worker ---------------------------------------------------------------------------------------------------------


def fit_compute(measured: Sequence[Measured], lanes: int, longest: int) -> ComputeCost:
    """Least squares of the relative errors, for each `beside` of a grid."""
    best: tuple[float, ComputeCost] | None = None
    spread = median(found.spread for found in measured if found.load.is_alone)
    targets = [_batch_s(load, measured) for load in LOADS]
    alone = [_batch_sizes(load, measured, longest) for load in LOADS]
    for beside in np.arange(0.0, 1.01, 0.01):
        slower = [1 + float(beside) * _others(load, lanes) for load in LOADS]
        sides = [[factor * size for size in sizes] for factor, sizes in zip(slower, alone, strict=True)]
        values, error = _relative_fit(sides, targets)
        if best is None or error < best[0]:
            batch_s, token_s, pair_s = values
            best = error, ComputeCost(batch_s, token_s, pair_s, float(beside), spread, longest)
    assert best is not None
    return best[1]


def _batch_sizes(load: Load, measured: Sequence[Measured], longest: int) -> list[float]:
    """One, tokens and pairs of a micro-batch, on the average."""
    rows = _median(load, measured, lambda found: found.counted.rows / found.counted.batches)
    _, pairs = ComputeCost.sizes([load.length], longest)
    return [1.0, rows * load.length, rows * pairs]


def _others(load: Load, lanes: int) -> int:
    return 0 if load.is_alone else lanes - 1


def _batch_s(load: Load, measured: Sequence[Measured]) -> float:
    return _median(load, measured, lambda found: found.counted.lanes_s / found.counted.batches)


def fit_in_out(measured: Sequence[Measured]) -> InOutCost:
    """A part that comes in and a micro-batch that is ready count alike: with single texts there are as many of both."""
    sides = []
    for found in measured:
        counted = found.counted
        sides.append([float(_parts(found) + counted.batches), float(counted.rows), float(counted.tokens)])
    (message_s, row_s, token_s), _ = _relative_fit(sides, [found.counted.in_out_s for found in measured])
    return InOutCost(message_s, row_s, token_s)


def _relative_fit(sides: Sequence[Sequence[float]], targets: Sequence[float]) -> tuple[list[float], float]:
    """Factors that are not negative, and the sum of squared relative errors."""
    scaled = np.array(sides, float) / np.array(targets, float)[:, None]
    kept = list(range(scaled.shape[1]))
    while True:
        found = np.linalg.lstsq(scaled[:, kept], np.ones(len(targets)), rcond=None)[0]
        if (found >= 0).all():
            break
        del kept[int(found.argmin())]
    values = [0.0] * scaled.shape[1]
    for place, value in zip(kept, found, strict=True):
        values[place] = float(value)
    return values, float(((scaled @ np.array(values) - 1) ** 2).sum())


def _fit_line(load: Load, measured: Sequence[Measured], cost: ComputeCost, lanes: int) -> str:
    _, tokens, pairs = _batch_sizes(load, measured, cost.longest)
    fitted_s = (cost.batch_s + cost.token_s * tokens + cost.pair_s * pairs) * (1 + cost.beside * _others(load, lanes))
    took_s = _batch_s(load, measured)
    return (
        f"{load.clients or 'now and then'} {load.rows} of {load.length} tokens: {tokens:.0f} tokens a batch, "
        f"{1000 * took_s:.2f} ms, fitted {1000 * fitted_s:.2f} ms"
    )


# -- the other processes ----------------------------------------------------------------------------------------------


def fit_sink(measured: Sequence[Measured]) -> SinkCost:
    """Rows that a micro-batch completes arrive together, so it wakes for each of those, and for no more than parts."""
    sides = []
    for found in measured:
        parts, rows, batches = _parts(found), found.counted.rows, found.counted.batches
        sides.append([float(min(batches, parts)), float(parts), float(rows), float(found.requests)])
    (wake_s, message_s, row_s, answer_s), _ = _relative_fit(sides, [found.counted.sink_s for found in measured])
    return SinkCost(wake_s, message_s, row_s, answer_s)


def fit_client(measured: Sequence[Measured]) -> ClientCost:
    """Of clients that ran in this process."""
    sides = [[float(found.requests), float(found.counted.rows)] for found in measured]
    (request_s, row_s), _ = _relative_fit(sides, [found.counted.aside_s for found in measured])
    return ClientCost(request_s, row_s)


def _with_wake(cost: VentilatorCost, measured: Sequence[Measured]) -> VentilatorCost:
    """What a real ventilator needed for one text at a time, beyond the steps that are known, is that of waking up."""
    spent_s = median(found.counted.ventilator_s / found.requests for found in measured if found.load.is_alone)
    steps_s = cost.request(1) + cost.part(1) + cost.done_s + cost.delivered_s
    return replace(cost, wake_s=max(0.0, (spent_s - steps_s) / _TURNS - cost.turn_s))


def _hop_s(
    measured: Sequence[Measured],
    compute: ComputeCost,
    in_out: InOutCost,
    ventilator: VentilatorCost,
    sink: SinkCost,
    client: ClientCost,
) -> float:
    """Client, ventilator, worker, sink, client: a quarter of what the latency of one text has beyond known steps."""
    rests = []
    for load in (load for load in LOADS if load.is_alone):
        known_s = 2 * client.half_s(1) + _batch_s(load, measured) + in_out.take_s([load.length]) + in_out.message_s
        known_s += ventilator.wake_s + ventilator.turn_s + ventilator.request(1) + ventilator.part(1)
        known_s += sink.wake_s + sink.message_s + sink.row_s + sink.answer_s
        rests.append(_median(load, measured, lambda found: found.latency_s) - known_s)
    return max(0.0, median(rests)) / 4


def _parts(found: Measured) -> int:
    rows = found.load.rows
    return found.requests * -(-rows // part_rows(rows, 1, ServerConfig.max_batch_size))


def _median(load: Load, measured: Sequence[Measured], read: Callable[[Measured], float]) -> float:
    return median(read(found) for found in measured if found.load == load)
