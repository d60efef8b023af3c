"""Costs from measured loads: a real server with texts of one length at a time, and the ventilator's steps.

Single texts come alone, or from clients that keep all lanes busy: so the fit sees how lanes slow one another down.
Each load is measured in several rounds, and the mean counts: a machine that is slow for a second in ten is slower than
its median.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import mean, median
from typing import Any

import numpy as np

from bert_serving.server.benchmark.load import Closed, Open
from bert_serving.server.benchmark.workloads import TextPool
from bert_serving.server.config import ServerConfig
from bert_serving.server.ventilator.scheduler import part_rows
from scaling import ventilator_cost
from scaling.cost import ClientCost, ComputeCost, Costs, InOutCost, SinkCost, VentilatorCost
from scaling.machine import SWING_S
from scaling.probe import Counted, Probe

_SPECIAL_TOKENS = 2
_TURNS = 3
"""Of the loop for one request alone: it comes, its worker is done, its answer is delivered."""
_TYPICAL_CHARACTERS = 90
_FIRST_S = 1.0
"""For one text after the other, to know what a rest is."""
_REST = 2.0
"""From one text that comes alone to the next, as many times what it takes: the service works half of the time."""
_SLOWEST = 0.05
"""Speed of a machine that stood still: it goes on sometime."""


@dataclass(frozen=True, slots=True)
class Load:
    """`clients` that each have one request of `rows` texts under way, all of `length` tokens; or one text at a time.

    Such a text comes after a rest: whoever has to wake up first needs longer, and more of a core.
    """

    length: int
    rows: int = 1
    clients: int = 0

    @property
    def is_alone(self) -> bool:
        """Whether there is one text at a time."""
        return not self.clients


LOADS = (
    *(Load(length) for length in (8, 16, 24, 40, 64, 96, 128)),
    *(Load(length, 1, 2) for length in (8, 24, 32, 64, 128)),
    *(Load(length, 1, 16) for length in (16, 64)),
    *(Load(length, 256, 2) for length in (8, 14)),
    *(Load(length, 128, 2) for length in (24, 40)),
    *(Load(length, 64, 2) for length in (56, 72, 90, 128)),
)


@dataclass(frozen=True, slots=True)
class Round:
    """One load in one round."""

    load: Load
    counted: Counted
    done: Closed | Open

    def latencies_s(self) -> list[float]:
        """Of all its requests."""
        if isinstance(self.done, Open):
            return self.done.arrivals().latencies_s
        return [sample.ended_s - sample.began_s for sample in self.done.samples]


@dataclass(frozen=True, slots=True)
class Measured:
    """One load, all its rounds together; `latency_s` is the mean."""

    load: Load
    requests: int
    counted: Counted
    latency_s: float


def measure(probe: Probe, load: Load, duration_s: float) -> Round:
    """One round of a load, on a server with one worker."""
    pool = TextPool((" ".join(["a"] * (load.length - _SPECIAL_TOKENS)),))
    if load.is_alone:
        _, quick = probe.closed(pool, 1, 1, _FIRST_S)
        interval_s = _REST * (quick.ended_s - quick.began_s) / len(quick.samples)
        return Round(load, *probe.paced(pool, interval_s, duration_s))
    return Round(load, *probe.closed(pool, load.rows, load.clients, duration_s))


def together(rounds: Iterable[Round]) -> list[Measured]:
    """The rounds of each load as one."""
    by_load: dict[Load, list[Round]] = {}
    for each in rounds:
        by_load.setdefault(each.load, []).append(each)
    found = []
    for load, of_load in by_load.items():
        took_s = [latency_s for each in of_load for latency_s in each.latencies_s()]
        found.append(Measured(load, len(took_s), Counted.sum(each.counted for each in of_load), mean(took_s)))
    return found


def fit(rounds: Sequence[Round], lengths: Sequence[int], lanes: int, about: Mapping[str, Any]) -> Costs:
    """All costs from the rounds of all LOADS, and from the ventilator's steps, which are timed now.

    `lengths` are kept for traces, `about` with what the fit came to beside it.
    """
    measured = together(rounds)
    compute = fit_compute(measured, lanes, max(lengths))
    in_out = fit_in_out(measured)
    ventilator = _with_wake(ventilator_cost.measure("x" * _TYPICAL_CHARACTERS), measured)
    sink, client = fit_sink(measured), fit_client(measured)
    hop_s = _hop_s(measured, in_out, ventilator, sink, client)
    about = {**about, "fit": [_fit_line(found, compute, lanes) for found in measured]}
    return Costs(compute, in_out, ventilator, sink, client, hop_s, swings(rounds, measured), tuple(lengths), about)


# -- a worker ---------------------------------------------------------------------------------------------------------


def fit_compute(measured: Sequence[Measured], lanes: int, longest: int) -> ComputeCost:
    """Least squares of the relative errors, for each `beside` of a grid."""
    best: tuple[float, ComputeCost] | None = None
    targets = [_batch_s(found) for found in measured]
    alone = [_batch_sizes(found, longest) for found in measured]
    for beside in np.arange(0.0, 1.01, 0.01):
        slower = [1 + float(beside) * _others(found.load, lanes) for found in measured]
        sides = [[factor * size for size in sizes] for factor, sizes in zip(slower, alone, strict=True)]
        values, error = _relative_fit(sides, targets)
        if best is None or error < best[0]:
            batch_s, token_s, pair_s = values
            best = error, ComputeCost(batch_s, token_s, pair_s, float(beside), longest)
    assert best is not None
    return best[1]


def _batch_sizes(found: Measured, longest: int) -> list[float]:
    """One, tokens and pairs of a micro-batch, on the average."""
    rows = found.counted.rows / found.counted.batches
    _, pairs = ComputeCost.sizes([found.load.length], longest)
    return [1.0, rows * found.load.length, rows * pairs]


def _others(load: Load, lanes: int) -> int:
    return 0 if load.is_alone else lanes - 1


def _batch_s(found: Measured) -> float:
    return found.counted.lanes_s / found.counted.batches


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


def _fit_line(found: Measured, cost: ComputeCost, lanes: int) -> str:
    load, took_s = found.load, _batch_s(found)
    _, tokens, pairs = _batch_sizes(found, cost.longest)
    fitted_s = (cost.batch_s + cost.token_s * tokens + cost.pair_s * pairs) * (1 + cost.beside * _others(load, lanes))
    return (
        f"{load.clients or 'alone'} x {load.rows} of {load.length} tokens: {tokens:.0f} tokens a batch, "
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
    in_out: InOutCost,
    ventilator: VentilatorCost,
    sink: SinkCost,
    client: ClientCost,
) -> float:
    """Client, ventilator, worker, sink, client: a quarter of what the latency of one text has beyond known steps."""
    rests = []
    for found in (found for found in measured if found.load.is_alone):
        known_s = 2 * client.half_s(1) + _batch_s(found) + in_out.take_s([found.load.length]) + in_out.message_s
        known_s += ventilator.wake_s + ventilator.turn_s + ventilator.request(1) + ventilator.part(1)
        known_s += sink.wake_s + sink.message_s + sink.row_s + sink.answer_s
        rests.append(found.latency_s - known_s)
    return max(0.0, median(rests)) / 4


def _parts(found: Measured) -> int:
    rows = found.load.rows
    return found.requests * -(-rows // part_rows(rows, 1, ServerConfig.max_batch_size))


# -- the machine ------------------------------------------------------------------------------------------------------


def swings(rounds: Iterable[Round], measured: Iterable[Measured]) -> tuple[float, ...]:
    """Speeds of the machine, for each SWING_S of all rounds in which there were always two single texts.

    What a text took stands for the mean of its load in work: who takes twice as long goes at half the speed.
    """
    usual_s = {found.load: found.latency_s for found in measured}
    found: list[float] = []
    for each in rounds:
        if each.load.rows == 1 and each.load.clients == 2 and isinstance(each.done, Closed):
            found += _speeds(each.done, usual_s[each.load] / 2)
    return tuple(found)


def _speeds(done: Closed, work_s: float) -> list[float]:
    speeds = [0.0] * int((done.ended_s - done.began_s) / SWING_S)
    for sample in done.samples:
        began, ended = ((when_s - done.began_s) / SWING_S for when_s in (sample.began_s, sample.ended_s))
        for turn in range(int(began), min(int(ended) + 1, len(speeds))):
            share = (min(ended, turn + 1) - max(began, turn)) / (ended - began)
            speeds[turn] += share * work_s / SWING_S
    return [round(max(_SLOWEST, speed), 3) for speed in speeds]
