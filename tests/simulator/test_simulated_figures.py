"""Figures, costs and their fits, tables and plots of the simulator."""

from __future__ import annotations

from pathlib import Path

import pytest

from bert_serving.server.benchmark.workloads import TextPool
from bert_serving.server.simulator.calibration import LOADS, Measured, fit_compute, fit_sink
from bert_serving.server.simulator.cost import ComputeCost, Costs
from bert_serving.server.simulator.probe import Counted
from bert_serving.server.simulator.report import figures, jain, rows_by_client, table
from bert_serving.server.simulator.simulation import Asked, Fleet, Simulation
from bert_serving.server.simulator.trace import Filler, Outage, bulk_beside_interactive
from bert_serving.server.simulator.validation import BESIDE, BULK, OPEN, Compared, predict
from bert_serving.server.simulator.validation import table as compared_table
from simulator.costs import made_config, made_costs

COST = ComputeCost(batch_s=0.002, token_s=1e-4, pair_s=1e-7, beside=0.25, tokenize_token_s=1e-6, tokenize_part_s=1e-4)


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
    assert COST.run_s([10, 20], 0) == pytest.approx(0.002 + 30e-4 + 2 * 400 * 1e-7)
    assert COST.run_s([10, 20], 1) == pytest.approx(1.25 * COST.run_s([10, 20], 0))


def test_costs_come_back_from_json() -> None:
    costs = made_costs(hop_s=0.5)
    assert Costs.from_json(costs.to_json()) == costs


def test_the_costs_of_the_repository_can_be_read() -> None:
    costs = Costs.from_json((Path(__file__).parents[2] / "server" / "scaling" / "costs.json").read_text())
    assert costs.compute.token_s > 0
    assert len(costs.lengths) > 1000


def test_the_fit_finds_the_costs_that_were_there() -> None:
    measured = []
    for load in LOADS:
        rows = 1 if load.rows == 1 else max(1, 1024 // load.length)
        took_s = COST.run_s([load.length] * rows, 0 if load.rows == load.clients == 1 else 1)
        parts, requests = (1 if load.rows == 1 else 4), 10
        tokens = requests * load.rows * load.length
        batches = requests * load.rows // rows
        counted = Counted(
            batches=batches, rows=requests * load.rows, tokens=tokens, padded_tokens=tokens,
            tokenize_s=requests * parts * COST.tokenize_part_s + tokens * COST.tokenize_token_s,
            compute_s=batches * took_s, sink_s=requests * (parts * 0.001 + load.rows * 1e-5 + 0.002),
        )  # fmt: skip
        measured.append(Measured(load, requests, counted, 0.0))
    found = fit_compute(measured, lanes=2)
    for name in ComputeCost.__slots__:
        assert getattr(found, name) == pytest.approx(getattr(COST, name), rel=0.02), name
    sink = fit_sink(measured)
    assert (sink.message_s, sink.row_s, sink.answer_s) == pytest.approx((0.001, 1e-5, 0.002), rel=0.02)


def test_a_prediction_has_the_figures_of_its_load() -> None:
    pool = TextPool(("a", "b c"), (3, 4))
    found = {load: predict(load, 2, made_costs(), made_config(), pool, 1.0, 1) for load in (OPEN, BULK, BESIDE)}
    assert [("rows/s" in found[load], "p99 ms" in found[load]) for load in found] == [
        (False, True),
        (True, False),
        (True, True),
    ]
    assert "| open | 1 | p50 ms | 10.0 | 11.0 | +10% |" in compared_table(
        [Compared(OPEN, 1, "p50 ms", 10.0, (10.0,), 11.0)]
    )


def test_tables_and_plots_are_made(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    from bert_serving.server.simulator.plots import draw_run, draw_sweep

    results = []
    for workers in (1, 2):
        trace = bulk_beside_interactive(
            (5, 10, 20), workers=workers, duration_s=1.0, seed=1, outage=Outage(0.5, 0.7, (0,))
        )
        results.append(Simulation(trace, Fleet(workers), made_costs(token_s=1e-4), made_config()).run())
    rows = [figures(result) for result in results]
    assert len(table(rows).splitlines()) == 3
    draw_sweep(rows, tmp_path / "sweep.png")
    draw_run(results[1], tmp_path / "run.png")
    assert {path.name for path in tmp_path.iterdir()} == {"sweep.png", "run.png"}
