"""Measures all costs on this machine: a real server under loads of one length each, and the ventilator's steps.

With one client of one text a single lane is busy, with more all are: so the fit sees how lanes slow one another down.
Each load is measured in several rounds, of which the least is taken: whoever else is at work here only adds.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

import numpy as np

from bert_serving.server.benchmark.machine import describe_machine
from bert_serving.server.benchmark.workloads import TextPool
from bert_serving.server.config import ServerConfig
from bert_serving.server.core.scheduler import part_rows
from bert_serving.server.devices import lanes_for
from bert_serving.server.simulator import ventilator_cost
from bert_serving.server.simulator.cost import ComputeCost, Costs, SinkCost, VentilatorCost
from bert_serving.server.simulator.probe import Counted, Probe, latencies_s, started

_SPECIAL_TOKENS = 2
_TURNS = 3
"""Of the loop for one request alone: it comes, its worker is done, its answer is delivered."""
_TYPICAL_CHARACTERS = 90


@dataclass(frozen=True, slots=True)
class Load:
    """`clients` that each have one request of `rows` texts under way, all of `length` tokens."""

    length: int
    rows: int
    clients: int


LOADS = (
    *(Load(length, 1, 1) for length in (8, 16, 32, 64, 128)),
    *(Load(length, 1, 2) for length in (8, 32, 128)),
    *(Load(length, 128, 2) for length in (8, 32)),
    *(Load(length, 256, 2) for length in (8, 16, 32, 64, 128)),
)


@dataclass(frozen=True, slots=True)
class Measured:
    """One load in one round."""

    load: Load
    requests: int
    counted: Counted
    latency_s: float


def calibrate(
    config: ServerConfig, lengths: Sequence[int], log: Path, *, rounds: int = 3, duration_s: float = 3.0
) -> Costs:
    """With one worker of `config`. `lengths` are kept for traces. Takes about `rounds` minutes."""
    measured: list[Measured] = []
    with started(replace(config, num_worker=1), log) as probe:
        lanes = lanes_for(None, 1)
        for number in range(rounds + 1):
            found = [_measure(probe, load, duration_s) for load in LOADS]
            print(f"round {number} of {rounds}", flush=True)
            measured += found if number else []  # the first round brings in all shapes, each slow at its first time
    compute = fit_compute(measured, lanes)
    ventilator = _with_wake(ventilator_cost.measure("x" * _TYPICAL_CHARACTERS), measured)
    sink = fit_sink(measured)
    hop_s = _hop_s(measured, compute, ventilator, sink)
    about = {**describe_machine(), "model_dir": config.model_dir, "lanes": lanes, "rounds": rounds}
    about["fit"] = [_fit_line(load, measured, compute, lanes) for load in LOADS]
    return Costs(compute, ventilator, sink, hop_s, tuple(lengths), about)


def _measure(probe: Probe, load: Load, duration_s: float) -> Measured:
    pool = TextPool((" ".join(["a"] * (load.length - _SPECIAL_TOKENS)),))
    counted, done = probe.closed(pool, load.rows, load.clients, duration_s)
    return Measured(load, len(done.samples), counted, median(latencies_s(done)))


# -- a worker ---------------------------------------------------------------------------------------------------------


def fit_compute(measured: Sequence[Measured], lanes: int) -> ComputeCost:
    """Least squares of the relative errors, for each `beside` of a grid; then tokenization in the same way."""
    best: tuple[float, float, list[float]] | None = None
    targets = [_batch_s(load, measured) for load in LOADS]
    for beside in np.arange(0.0, 1.01, 0.01):
        sides = []
        for load in LOADS:
            tokens = _least(load, measured, lambda found: found.counted.tokens / found.counted.batches)
            slower = 1 + float(beside) * _others(load, lanes)
            sides.append([slower, slower * tokens, slower * tokens * load.length])
        values, error = _relative_fit(sides, targets)
        if best is None or error < best[0]:
            best = error, float(beside), values
    assert best is not None
    _, beside, (batch_s, token_s, pair_s) = best
    parts = [[float(_parts(found)), float(found.counted.tokens)] for found in measured]
    (part_s, tokenize_s), _ = _relative_fit(parts, [found.counted.tokenize_s for found in measured])
    return ComputeCost(batch_s, token_s, pair_s, beside, tokenize_s, part_s)


def _is_alone(load: Load) -> bool:
    """Whether there is one text at a time."""
    return load.rows == load.clients == 1


def _others(load: Load, lanes: int) -> int:
    return 0 if _is_alone(load) else lanes - 1


def _batch_s(load: Load, measured: Sequence[Measured]) -> float:
    return _least(load, measured, lambda found: found.counted.compute_s / found.counted.batches)


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
    rows = _least(load, measured, lambda found: found.counted.rows / found.counted.batches)
    fitted_s = cost.run_s([load.length] * round(rows), _others(load, lanes)) * 1000
    took_ms = 1000 * _batch_s(load, measured)
    return f"{load.rows} x {load.length} tokens: {rows:.1f} rows a batch, {took_ms:.2f} ms, fitted {fitted_s:.2f} ms"


# -- the other processes ----------------------------------------------------------------------------------------------


def fit_sink(measured: Sequence[Measured]) -> SinkCost:
    sides = [[float(_parts(found)), float(found.counted.rows), float(found.requests)] for found in measured]
    (message_s, row_s, answer_s), _ = _relative_fit(sides, [found.counted.sink_s for found in measured])
    return SinkCost(message_s, row_s, answer_s)


def _with_wake(cost: VentilatorCost, measured: Sequence[Measured]) -> VentilatorCost:
    """What a real ventilator needed for one text at a time, beyond the steps that are known, is that of waking up."""
    spent_s = min(found.counted.ventilator_s / found.requests for found in measured if _is_alone(found.load))
    steps_s = cost.request(1) + cost.part(1) + cost.done_s + cost.delivered_s
    return replace(cost, wake_s=max(0.0, (spent_s - steps_s) / _TURNS - cost.turn_s))


def _hop_s(measured: Sequence[Measured], compute: ComputeCost, ventilator: VentilatorCost, sink: SinkCost) -> float:
    """Client, ventilator, worker, sink, client: a quarter of what the latency of one text has beyond known steps."""
    rests = []
    for load in filter(_is_alone, LOADS):
        known_s = _batch_s(load, measured) + compute.tokenize_s([load.length])
        known_s += ventilator.wake_s + ventilator.turn_s + ventilator.request(1) + ventilator.part(1)
        known_s += sink.message_s + sink.row_s + sink.answer_s
        rests.append(_least(load, measured, lambda found: found.latency_s) - known_s)
    return max(0.0, median(rests)) / 4


def _parts(found: Measured) -> int:
    rows = found.load.rows
    return found.requests * -(-rows // part_rows(rows, 1, ServerConfig.max_batch_size))


def _least(load: Load, measured: Sequence[Measured], read: Callable[[Measured], float]) -> float:
    return min(read(found) for found in measured if found.load == load)
