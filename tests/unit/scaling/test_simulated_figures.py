"""Figures, costs and their fits, tables and plots of the simulator."""

from __future__ import annotations

from itertools import accumulate
from pathlib import Path

import pytest
from folders import ROOT

from bert_serving.server.benchmark.figures import Sample
from bert_serving.server.benchmark.load import Closed, Open
from bert_serving.server.benchmark.workloads import TextPool
from bert_serving.server.ventilator.scheduler import part_rows
from scaling.calibration import (
    LOADS,
    Load,
    Measured,
    Round,
    fit_client,
    fit_compute,
    fit_in_out,
    fit_sink,
    swings,
    together,
)
from scaling.cost import ClientCost, ComputeCost, Costs, InOutCost, SinkCost
from scaling.example_costs import made_config, made_costs
from scaling.plots import draw_run, draw_sweep
from scaling.probe import Counted
from scaling.report import figures, jain, rows_by_client, table
from scaling.simulation import Asked, Fleet, Simulation
from scaling.trace import Filler, Outage, bulk_beside_interactive
from scaling.validation import BESIDE, BULK, OPEN, Observed, compare, predict
from scaling.validation import table as compared_table

COST = ComputeCost(batch_s=0.002, token_s=1e-4, pair_s=1e-7, beside=0.25, longest=120)
IN_OUT = InOutCost(message_s=5e-4, row_s=2e-5, token_s=1e-6)
SINK = SinkCost(wake_s=3e-4, message_s=0.001, row_s=1e-5, answer_s=0.002)
CLIENT = ClientCost(request_s=0.001, row_s=2e-5)


def test_jains_index() -> None:
    assert jain([3.0, 3.0, 3.0]) == pytest.approx(1.0)
    assert jain([1.0, 0.0, 0.0, 0.0]) == pytest.approx(0.25)
    assert jain([2.0, 1.0]) == pytest.approx(0.9)


def test_rows_count_by_the_share_of_a_request_that_lies_between() -> None:
    filler = Filler(b"a", 4, 1, (5,), 9.0)
    asked = Asked(b"a", (5,) * 4, False, 1.0, filler, answered_s=3.0)
    assert rows_by_client([asked], 0.0, 9.0) == {b"a": 4.0}
    assert rows_by_client([asked], 2.0, 9.0) == {b"a": 2.0}
    assert rows_by_client([asked], 5.0, 9.0) == {b"a": 0.0}


def test_padding_costs_in_attention_alone() -> None:
    assert COST.run_s([10, 20], 0) == pytest.approx(0.002 + 30e-4 + 2 * 32**2 * 1e-7)
    assert COST.run_s([10, 20], 1) == pytest.approx(1.25 * COST.run_s([10, 20], 0))


def test_a_batch_costs_what_its_shape_costs() -> None:
    assert COST.sizes([64], 120) == (64, 64**2)
    assert COST.sizes([65], 120) == (80, 80**2)  # a long list ends at a multiple of 16, and so do rows
    assert COST.sizes([113], 120) == (128, 120**2)  # but rows where no row is longer
    assert COST.sizes([16] * 17, 120) == (272, 24 * 16**2)  # many rows come in eights


def test_costs_come_back_from_json() -> None:
    costs = made_costs(hop_s=0.5, swings=(0.9, 1.1))
    assert Costs.from_json(costs.to_json()) == costs


def test_the_costs_of_the_repository_can_be_read() -> None:
    costs = Costs.from_json((ROOT / "docs" / "scaling" / "costs.json").read_text())
    assert costs.compute.token_s > 0
    assert len(costs.lengths) > 1000


def test_the_fits_find_the_costs_that_were_there() -> None:
    measured = []
    for load in LOADS:
        rows = max(1, load.clients // 2) if load.rows == 1 else 1024 // load.length
        _, pairs = COST.sizes([load.length], COST.longest)
        run_s = COST.batch_s + rows * (load.length * COST.token_s + pairs * COST.pair_s)
        parts, requests = -(-load.rows // part_rows(load.rows, 1, 256)), 64
        all_rows, all_parts = requests * load.rows, requests * parts
        batches, tokens = all_rows // rows, all_rows * load.length
        counted = Counted(
            batches=batches, rows=all_rows, tokens=tokens,
            lanes_s=batches * run_s * (1 if load.is_alone else 1 + COST.beside),
            in_out_s=(all_parts + batches) * IN_OUT.message_s + all_rows * IN_OUT.row_s + tokens * IN_OUT.token_s,
            sink_s=min(batches, all_parts) * SINK.wake_s
            + all_parts * SINK.message_s + requests * SINK.answer_s + all_rows * SINK.row_s,
            aside_s=requests * CLIENT.request_s + all_rows * CLIENT.row_s,
        )  # fmt: skip
        measured.append(Measured(load, requests, counted, 0.0))
    for found, there in (
        (fit_compute(measured, 2, COST.longest), COST),
        (fit_in_out(measured), IN_OUT),
        (fit_sink(measured), SINK),
        (fit_client(measured), CLIENT),
    ):
        for name in type(there).__slots__:
            assert getattr(found, name) == pytest.approx(getattr(there, name), rel=0.02), name


def closed(clients: list[list[float]], duration_s: float) -> Closed:
    """The answers of each client, one after the other: how long they took."""
    samples = []
    for took_s in clients:
        ends_s = [10.0 + end_s for end_s in accumulate(took_s)]
        samples += [Sample(ended_s - each_s, ended_s, 1) for each_s, ended_s in zip(took_s, ends_s, strict=True)]
    return Closed(10.0, 10.0 + duration_s, samples)


def test_rounds_of_a_load_come_together_and_show_how_the_machine_swings() -> None:
    two, many = Load(8, 1, 2), Load(64, 256, 2)
    rounds = [
        Round(two, Counted(batches=10, lanes_s=1.0), closed(2 * [[0.125] * 4 + [0.25] * 2], 1.0)),
        Round(many, Counted(batches=3), closed([[1.0]], 1.0)),
        Round(two, Counted(batches=20, lanes_s=2.0), closed(2 * [[0.5, *[0.0625] * 4, 0.5]], 1.0)),
        Round(Load(8), Counted(), Open(0.0, 1.0, [0.5], [0.5], [Sample(0.6, 0.7, 1)])),
    ]
    measured = together(rounds)
    usual_s = 2.25 / 12
    assert measured == [
        Measured(two, 24, Counted(batches=30, lanes_s=3.0), usual_s),
        Measured(many, 1, Counted(batches=3), 1.0),
        Measured(Load(8), 1, Counted(), 0.7 - 0.5),  # it was late, and that counts
    ]
    fast, slow, slower, fastest = (usual_s / took_s for took_s in (0.125, 0.25, 0.5, 0.0625))
    assert swings(rounds, measured) == pytest.approx(
        [fast, fast, slow, slow, slower, slower, fastest, slower], abs=1e-3
    )


def test_a_prediction_has_the_figures_of_its_load() -> None:
    pool = TextPool(("a", "b c"), (3, 4))
    found = {load: predict(load, 2, made_costs(), made_config(), pool, 1.0, 1) for load in (OPEN, BULK, BESIDE)}
    assert [(found[load].rows_per_s is not None, bool(found[load].latencies_s)) for load in found] == [
        (False, True),
        (True, False),
        (True, True),
    ]


def test_medians_of_rounds_are_compared_and_next_to_nothing_is_left_out() -> None:
    real = [Observed(rate, [latency_s] * 3, 0.2, 0.001) for rate, latency_s in ((40.0, 0.1), (50.0, 0.3), (99.0, 0.2))]
    predicted = [Observed(55.0, [latency_s], 0.3, 0.2) for latency_s in (0.1, 0.3, 0.3)]
    found = {row.figure: row for row in compare(BESIDE, 1, real, predicted)}
    assert list(found) == ["rows/s", "p50 ms", "p99 ms", "ventilator busy %"]
    assert (found["rows/s"].measured, found["rows/s"].rounds) == (50.0, (40.0, 50.0, 99.0))
    assert found["p50 ms"].measured == pytest.approx(200.0)
    assert found["p50 ms"].rounds == pytest.approx((100.0, 300.0, 200.0))
    assert found["p50 ms"].error == pytest.approx(0.5)
    assert "| beside | 1 | rows/s | 50.0 | 55.0 | +10% |" in compared_table([found["rows/s"]])


def test_tables_and_plots_are_made(tmp_path: Path) -> None:
    results = []
    for workers in (1, 2):
        trace = bulk_beside_interactive(
            (5, 10, 20), workers=workers, duration_s=1.0, seed=1, outage=Outage(0.5, 0.7, (0,))
        )
        results.append(Simulation(trace, Fleet(workers), made_costs(token_s=1e-4), made_config()).run())
    rows = [figures(result) for result in results]
    assert len(table(rows).splitlines()) == 3
    draw_sweep(rows, tmp_path / "sweep.png", "version and date")
    drawn = draw_run(results[1], tmp_path, "version and date")
    assert [path.name for path in drawn] == ["workers-2-over-time.png", "workers-2-clients.png"]
    assert {path.name for path in tmp_path.iterdir()} == {"sweep.png", *(path.name for path in drawn)}
