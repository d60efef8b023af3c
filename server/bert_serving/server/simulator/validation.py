"""The same load on a real server and in a simulation, side by side: how far the prediction is from the measurement.

The texts and times of arrival are others than those of the calibration. Real sentences and passages, in three ways:
single texts at random times (open loop), a client that keeps the server full (bulk), and both at once (beside).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

from bert_serving.server.benchmark.figures import MS, percentile, sentence_rates
from bert_serving.server.benchmark.load import BULK_IN_FLIGHT, Closed, beside_bulk, open_loop
from bert_serving.server.benchmark.report import number
from bert_serving.server.benchmark.workloads import TextPool, poisson_schedule
from bert_serving.server.config import ServerConfig
from bert_serving.server.devices import lanes_for
from bert_serving.server.simulator.cost import Costs
from bert_serving.server.simulator.probe import TIMEOUT_S, Probe, latencies_s, started
from bert_serving.server.simulator.report import rows_by_client
from bert_serving.server.simulator.simulation import Fleet, Result, Simulation
from bert_serving.server.simulator.trace import Arrival, Filler, Trace

OPEN, BULK, BESIDE = "open", "bulk", "beside"
RATE, RATE_BESIDE = 40.0, 20.0
"""Single texts a second, alone and beside bulk."""
BULK_ROWS = 256
LEAD_S = 1.0
"""The bulk client begins so much earlier than the arrivals, as `beside_bulk` does."""

Named = Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Compared:
    """One figure of one load: the median of the measured rounds, and what was predicted."""

    load: str
    workers: int
    figure: str
    measured: float
    rounds: tuple[float, ...]
    predicted: float

    @property
    def error(self) -> float:
        """As a share of what was measured."""
        return self.predicted / self.measured - 1


def validate(
    config: ServerConfig, costs: Costs, pool: TextPool, log: Path, *, rounds: int, duration_s: float, seed: int
) -> list[Compared]:
    """With one and with two workers on this machine. `pool` knows its tokens."""
    found = []
    for workers in (1, 2):
        with started(replace(config, num_worker=workers), log) as probe:
            measure(probe, BULK, pool, duration_s, seed)  # brings in all shapes
            for load in (OPEN, BULK, BESIDE):
                real = [measure(probe, load, pool, duration_s, seed) for _ in range(rounds)]
                simulated = predict(load, workers, costs, config, pool, duration_s, seed)
                for name, value in simulated.items():
                    values = tuple(figures[name] for figures in real)
                    found.append(Compared(load, workers, name, median(values), values, value))
    return found


def measure(probe: Probe, load: str, pool: TextPool, duration_s: float, seed: int) -> Named:
    """The figures of one load on a real server."""
    before = probe.counted()
    named: dict[str, float] = {}
    if load == BULK:
        _, filling = probe.closed(pool, BULK_ROWS, BULK_IN_FLIGHT, duration_s)
        named["rows/s"] = _rows_per_s(filling)
        span_s = max(sample.ended_s for sample in filling.samples) - filling.began_s
    else:
        singles_at = poisson_schedule(RATE if load == OPEN else RATE_BESIDE, duration_s, seed)
        single = probe.target.session(TIMEOUT_S)
        if load == OPEN:
            singles = open_loop(single, pool, singles_at, duration_s)
            span_s = duration_s
        else:
            bulk = probe.target.session(TIMEOUT_S)
            filling, singles = beside_bulk(bulk, BULK_ROWS, single, pool, singles_at, duration_s)
            bulk.close()
            named["rows/s"] = _rows_per_s(filling)
            span_s = max(sample.ended_s for sample in filling.samples) - filling.began_s + LEAD_S
        named |= _latencies(latencies_s(singles))
    spent = probe.counted().since(before)
    return named | {"ventilator busy %": 100 * spent.ventilator_s / span_s, "sink busy %": 100 * spent.sink_s / span_s}


def _rows_per_s(filling: Closed) -> float:
    return sentence_rates(filling.samples, filling.began_s, filling.ended_s, 1)[0]


def _latencies(seconds: Sequence[float]) -> dict[str, float]:
    return {f"p{percent} ms": MS * percentile(seconds, percent) for percent in (50, 99)}


def predict(
    load: str, workers: int, costs: Costs, config: ServerConfig, pool: TextPool, duration_s: float, seed: int
) -> Named:
    """The figures of the same load, simulated."""
    assert pool.tokens is not None
    lead_s = LEAD_S if load == BESIDE else 0.0
    end_s = lead_s + duration_s
    arrivals: tuple[Arrival, ...] = ()
    fillers: tuple[Filler, ...] = ()
    if load != BULK:
        singles_at = poisson_schedule(RATE if load == OPEN else RATE_BESIDE, duration_s, seed)
        tokens = [pool.tokens[place % len(pool.tokens)] for place in range(len(singles_at))]
        arrivals = tuple(
            Arrival(lead_s + at_s, b"single", (length,)) for at_s, length in zip(singles_at, tokens, strict=True)
        )
    if load != OPEN:
        fillers = (Filler(b"bulk", BULK_ROWS, BULK_IN_FLIGHT, pool.tokens, end_s),)
    fleet = Fleet(workers, lanes_for(None, workers), workers_a_machine=workers)
    result = Simulation(Trace(load, end_s, arrivals, fillers), fleet, costs, config).run()
    return _predicted(result, lead_s, end_s)


def _predicted(result: Result, begin_s: float, end_s: float) -> Named:
    named: dict[str, float] = {}
    if result.trace.fillers:
        named["rows/s"] = sum(rows_by_client(result.requests, begin_s, end_s).values()) / (end_s - begin_s)
    if result.trace.arrivals:
        named |= _latencies([asked.latency_s for asked in result.requests if asked.filler is None])
    ventilator, sink = result.ventilator.rate(0.0, end_s), result.sink.rate(0.0, end_s)
    return named | {"ventilator busy %": 100 * ventilator, "sink busy %": 100 * sink}


def table(found: Sequence[Compared]) -> str:
    """A line for each figure, as Markdown."""
    lines = ["| load | workers | figure | measured | predicted | error |", "|---|---|---|---|---|---|"]
    for row in found:
        cells = [row.load, str(row.workers), row.figure, number(row.measured), number(row.predicted)]
        lines.append(f"| {' | '.join(cells)} | {100 * row.error:+.0f}% |")
    return "\n".join(lines)
