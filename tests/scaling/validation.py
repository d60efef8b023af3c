"""The same load on a real server and in a simulation, side by side: how far the prediction is from the measurement.

Costs are measured with texts of one length (`calibration.py`); what is predicted are real sentences and passages, in
three ways: single texts at random times (open loop), a client that keeps the server full (bulk), and both at once
(beside). The rounds of both take turns, as the speed of a machine that others share drifts within minutes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from bert_serving.server.benchmark.figures import MS, percentile, sentence_rates
from bert_serving.server.benchmark.load import BULK_IN_FLIGHT, Closed, beside_bulk, open_loop
from bert_serving.server.benchmark.machine import describe_machine
from bert_serving.server.benchmark.report import number
from bert_serving.server.benchmark.workloads import TextPool, poisson_schedule
from bert_serving.server.config import ServerConfig
from bert_serving.server.devices import available_cores, lanes_for
from scaling import calibration
from scaling.cost import Costs
from scaling.probe import TIMEOUT_S, Probe, started
from scaling.report import rows_by_client
from scaling.simulation import Fleet, Simulation
from scaling.trace import Arrival, Filler, Trace

OPEN, BULK, BESIDE = "open", "bulk", "beside"
RATE, RATE_BESIDE = 30.0, 10.0
"""Single texts a second, alone and during bulk load: near to what two slow cores can do, latency is too steep "
"to compare."""
BULK_ROWS = 256
CALIBRATION_S = 6.0
"""Of each load of the calibration."""
LEAD_S = 1.0
"""The bulk client begins so much earlier than the arrivals, as `beside_bulk` does."""
DRAWS = 5
"""Each trace is simulated so many times, on a machine that begins at another place of its swings."""
LEAST_BUSY = 0.01
"""Who works less than this share of the time is left out: one status request would be felt in it."""

Case = tuple[int, str]
"""So many workers under one of the loads."""
Named = Mapping[str, float]


@dataclass(slots=True)
class Observed:
    """A round of a load, real or simulated: texts a second of the bulk client, latencies of single texts, busy shares.

    What a load does not have is None or empty.
    """

    rows_per_s: float | None = None
    latencies_s: Sequence[float] = ()
    ventilator: float = 0.0
    sink: float = 0.0


@dataclass(frozen=True, slots=True)
class Compared:
    """One figure of one load, measured and predicted, each the median of rounds; `rounds` are those measured."""

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


def measure_all(
    config: ServerConfig, pool: TextPool, log: Path, *, rounds: int, duration_s: float, seed: int
) -> tuple[Costs, list[Compared]]:
    """The costs on this machine, and how they predict one and two workers on it. `pool` knows its tokens.

    A round of 30 s takes about five and a half minutes in all, and one goes before those that count: a shape is slow at
    its first time.
    """
    assert pool.tokens is not None
    about = {**describe_machine(), "model_dir": config.model_dir, "lanes": lanes_for(None, 1), "rounds": rounds}
    calibrated: list[calibration.Round] = []
    real: dict[Case, list[Observed]] = {(workers, load): [] for workers in (1, 2) for load in (OPEN, BULK, BESIDE)}
    with ExitStack() as opened:
        # the service that has nothing to do takes next to nothing from the other one
        probes = {
            workers: opened.enter_context(started(config, workers, log.with_suffix(f".{workers}{log.suffix}")))
            for workers in (1, 2)
        }
        for number in range(rounds + 1):
            for place, ((workers, load), observed) in enumerate(real.items()):
                some = calibration.LOADS[place :: len(real)]
                found = [calibration.measure(probes[1], each, CALIBRATION_S) for each in some]
                observed.append(measure(probes[workers], load, pool, duration_s, seed + number))
                if number:
                    calibrated += found
            print(f"round {number} of {rounds}", flush=True)
    costs = calibration.fit(calibrated, pool.tokens, lanes_for(None, 1), about)
    compared: list[Compared] = []
    for (workers, load), observed in real.items():
        predicted = [
            predict(load, workers, costs, config, pool, duration_s, seed + number, draw / DRAWS)
            for number in range(1, rounds + 1)
            for draw in range(DRAWS)
        ]
        compared += compare(load, workers, observed[1:], predicted)
    return costs, compared


def compare(load: str, workers: int, real: Sequence[Observed], predicted: Sequence[Observed]) -> list[Compared]:
    """All figures of a load; the rounds of `predicted` have the traces of those of `real`."""
    measured, expected = [named(observed) for observed in real], [named(observed) for observed in predicted]
    found = []
    for name in measured[0]:
        rounds = tuple(figures[name] for figures in measured)
        middle = median(rounds)
        if not name.endswith("busy %") or middle >= 100 * LEAST_BUSY:
            found.append(Compared(load, workers, name, middle, rounds, median(figures[name] for figures in expected)))
    return found


def named(observed: Observed) -> Named:
    """Its figures by name."""
    figures: dict[str, float] = {}
    if observed.rows_per_s is not None:
        figures["rows/s"] = observed.rows_per_s
    if observed.latencies_s:
        figures |= {f"p{percent} ms": MS * percentile(observed.latencies_s, percent) for percent in (50, 99)}
    return figures | {"ventilator busy %": 100 * observed.ventilator, "sink busy %": 100 * observed.sink}


def measure(probe: Probe, load: str, pool: TextPool, duration_s: float, seed: int) -> Observed:
    """One round of a load on a real server."""
    before = probe.counted()
    found = Observed()
    span_s = duration_s
    if load == BULK:
        _, filling = probe.closed(pool, BULK_ROWS, BULK_IN_FLIGHT, duration_s)
        found.rows_per_s = _rows_per_s(filling)
        span_s = max(sample.ended_s for sample in filling.samples) - filling.began_s
    else:
        singles_at = poisson_schedule(RATE if load == OPEN else RATE_BESIDE, duration_s, seed)
        single = probe.target.session(TIMEOUT_S)
        if load == OPEN:
            singles = open_loop(single, pool, singles_at, duration_s)
        else:
            bulk = probe.target.session(TIMEOUT_S)
            filling, singles = beside_bulk(bulk, BULK_ROWS, single, pool, singles_at, duration_s)
            bulk.close()
            found.rows_per_s = _rows_per_s(filling)
            span_s = max(sample.ended_s for sample in filling.samples) - filling.began_s + LEAD_S
        found.latencies_s = singles.arrivals().latencies_s
    spent = probe.counted().since(before)
    found.ventilator, found.sink = spent.ventilator_s / span_s, spent.sink_s / span_s
    return found


def _rows_per_s(filling: Closed) -> float:
    return sentence_rates(filling.samples, filling.began_s, filling.ended_s, 1)[0]


def predict(
    load: str,
    workers: int,
    costs: Costs,
    config: ServerConfig,
    pool: TextPool,
    duration_s: float,
    seed: int,
    begin: float = 0.0,
) -> Observed:
    """The same round, simulated; for `begin` see `Simulation`."""
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
    fleet = Fleet(workers, lanes_for(None, workers), available_cores(), on_one_machine=True)
    result = Simulation(Trace(load, end_s, arrivals, fillers), fleet, costs, config, begin).run()
    found = Observed(ventilator=result.ventilator.rate(0.0, end_s), sink=result.sink.rate(0.0, end_s))
    if fillers:
        found.rows_per_s = sum(rows_by_client(result.requests, lead_s, end_s).values()) / (end_s - lead_s)
    found.latencies_s = [asked.latency_s for asked in result.requests if asked.filler is None]
    return found


def table(found: Sequence[Compared]) -> str:
    """A line for each figure, as Markdown."""
    lines = ["| load | workers | figure | measured | predicted | error |", "|---|---|---|---|---|---|"]
    for row in found:
        cells = [row.load, str(row.workers), row.figure, number(row.measured), number(row.predicted)]
        lines.append(f"| {' | '.join(cells)} | {100 * row.error:+.0f}% |")
    return "\n".join(lines)
