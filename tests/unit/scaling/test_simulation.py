"""Simulations: by hand where they are small, by what must hold where they are not. The clock is simulated."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bert_serving.server.ventilator.reading import ReadRequest
from bert_serving.server.ventilator.work import Work
from scaling.cost import Costs
from scaling.example_costs import made_config, made_costs
from scaling.report import figures
from scaling.simulation import Broken, Fleet, Result, Simulation
from scaling.trace import Arrival, Filler, Outage, Trace, bulk_beside_interactive


def simulated(trace: Trace, fleet: Fleet, costs: Costs, **options: Any) -> Result:
    return Simulation(trace, fleet, costs, made_config(**options)).run()


def latencies(result: Result) -> list[float]:
    return [asked.latency_s for asked in result.requests]


def test_one_text_takes_what_its_steps_take() -> None:
    ventilator = {
        "turn_s": 0.001,
        "request_s": 0.002,
        "choose_s": 0.004,
        "part_s": 0.016,
        "wake_s": 0.032,
    }
    in_out = {"token_s": 0.0005, "message_s": 0.128, "row_s": 0.064}
    costs = made_costs(hop_s=0.1, ventilator=ventilator, in_out=in_out, client_s=100.0)
    result = simulated(Trace("one", 1.0, (Arrival(0.0, b"a", (20,)),)), Fleet(1, lanes=1), costs)
    ventilator_s = 0.001 + 0.002 + 0.004 + 0.016 + 0.032
    worker_s = 2 * 0.128 + 0.064 + 20 * 0.0005 + 0.010 + 20 * 0.001
    assert latencies(result) == [pytest.approx(4 * 0.1 + ventilator_s + worker_s)]


def test_two_texts_wait_for_one_lane_share_a_batch_or_run_side_by_side() -> None:
    both = Trace("both", 1.0, (Arrival(0.0, b"a", (20,)), Arrival(0.001, b"b", (20,))))
    assert latencies(simulated(both, Fleet(1, lanes=1), made_costs())) == pytest.approx([0.030, 0.059])
    assert latencies(simulated(both, Fleet(1, lanes=2), made_costs())) == pytest.approx([0.030, 0.030])
    slowed = simulated(both, Fleet(1, lanes=2), made_costs(beside=0.5))
    assert latencies(slowed) == pytest.approx([0.030, 0.045])
    apart = simulated(both, Fleet(2, lanes=1), made_costs(beside=0.5))
    assert latencies(apart) == pytest.approx([0.030, 0.030])
    together = simulated(both, Fleet(2, lanes=1, on_one_machine=True), made_costs(beside=0.5))
    assert latencies(together) == pytest.approx([0.030, 0.045])
    at_once = replace(both, arrivals=(Arrival(0.0, b"a", (20, 20)),))
    assert latencies(simulated(at_once, Fleet(1, lanes=1), made_costs())) == pytest.approx([0.050])


def test_lanes_clients_and_loops_share_the_cores_of_one_machine() -> None:
    both = Trace("both", 1.0, (Arrival(0.0, b"a", (20,)), Arrival(0.001, b"b", (20,))))
    # the first lane has a millisecond for itself, then both go at half speed; the second one has it at the end
    one_core = Fleet(1, lanes=2, cores=1)
    assert latencies(simulated(both, one_core, made_costs())) == pytest.approx([0.059, 0.059])
    alone = replace(both, arrivals=both.arrivals[:1])
    fleet = Fleet(1, lanes=1, cores=1, on_one_machine=True)
    assert latencies(simulated(alone, fleet, made_costs(client_s=0.006))) == pytest.approx([0.036])
    # of the 72 ms that both need the last one is the second client's, with half of the core until then
    shared = simulated(both, replace(fleet, lanes=2), made_costs(client_s=0.006))
    assert latencies(shared) == pytest.approx([0.071, 0.071])


def test_an_urgent_text_waits_for_one_batch_and_not_for_all_bulk() -> None:
    arrivals = (Arrival(0.0, b"bulk", (100,) * 200), Arrival(0.5, b"single", (20,)))
    result = simulated(Trace("beside", 1.0, arrivals), Fleet(1, lanes=1), made_costs())
    bulk_s, single_s = latencies(result)
    assert bulk_s > 10
    assert single_s < 1.1  # a batch of 1024 tokens and its own


@pytest.mark.parametrize("noticed_s", [0.0, 0.3])
def test_nothing_is_lost_or_doubled_when_workers_end(noticed_s: float) -> None:
    outages = (Outage(1.0, 2.0, (0, 1)), Outage(1.5, 3.0, (2,)))
    trace = bulk_beside_interactive((5, 10, 20), workers=4, duration_s=4.0, seed=1)
    fleet = Fleet(4, lanes=2, noticed_s=noticed_s)
    costs = made_costs(hop_s=0.001, token_s=0.0001)
    calm = figures(simulated(trace, fleet, costs))
    result = simulated(replace(trace, outages=outages), fleet, costs)  # checks each answer itself
    found = figures(result)
    assert all(asked.answered_s is not None for asked in result.requests)
    assert found.failed == 0
    assert found.rows_per_s < calm.rows_per_s


@settings(max_examples=25)
@given(
    st.lists(st.tuples(st.floats(0, 2), st.integers(1, 300), st.integers(0, 2)), min_size=1, max_size=12),
    st.lists(st.tuples(st.floats(0, 3), st.floats(0.05, 1), st.integers(0, 2)), max_size=1),
)
def test_every_request_is_answered_once_whatever_happens(
    asked: list[tuple[float, int, int]], ended: list[tuple[float, float, int]]
) -> None:
    arrivals = tuple(Arrival(at_s, b"%d" % client, (7,) * rows) for at_s, rows, client in asked)
    outages = tuple(Outage(at_s, at_s + gone_s, (worker,)) for at_s, gone_s, worker in ended)
    result = simulated(Trace("any", 3.0, arrivals, outages=outages), Fleet(3, noticed_s=0.02), made_costs(hop_s=0.003))
    assert len(result.requests) == len(asked)


def test_a_service_that_loses_work_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    trace = Trace("one", 1.0, (Arrival(0.0, b"a", (20,)), Arrival(0.1, b"b", (20,))))
    accept = Work.accept

    def forgetful(work: Work, request: ReadRequest, number: int, now_s: float) -> bool:
        return request.identity != b"a" or accept(work, request, number, now_s)

    monkeypatch.setattr(Work, "accept", forgetful)
    with pytest.raises(Broken, match="1 of 2 requests were never answered"):
        simulated(trace, Fleet(1), made_costs())


def test_who_is_refused_comes_again() -> None:
    arrivals = tuple(Arrival(0.0, b"%d" % client, (5,) * 100) for client in range(5))
    result = simulated(Trace("full", 1.0, arrivals), Fleet(1), made_costs(), max_queue=150)
    assert figures(result).refusals > 0
    assert all(asked.answered_s is not None for asked in result.requests)


def test_a_ventilator_that_costs_more_ends_the_throughput() -> None:
    trace = bulk_beside_interactive((5, 10, 20), workers=8, duration_s=2.0, seed=1)
    cheap = figures(simulated(trace, Fleet(8), made_costs(token_s=0.0001)))
    dear = figures(simulated(trace, Fleet(8), made_costs(token_s=0.0001, ventilator={"part_s": 0.02})))
    assert cheap.ventilator_busy == 0.0
    assert cheap.lanes_busy == pytest.approx(1.0, abs=0.05)
    assert dear.ventilator_busy == pytest.approx(1.0, abs=0.02)
    assert dear.lanes_busy < 0.5
    assert dear.rows_per_s < 0.5 * cheap.rows_per_s


def test_the_same_trace_gives_the_same_figures() -> None:
    trace = bulk_beside_interactive((5, 10, 20), workers=3, duration_s=1.0, seed=5)
    first, second = (figures(simulated(trace, Fleet(3), made_costs(hop_s=0.001))) for _ in range(2))
    assert first == second


@pytest.mark.parametrize("on_one_machine", [True, False])
def test_a_machine_that_swings_is_slow_for_a_while(on_one_machine: bool) -> None:
    arrivals = tuple(Arrival(number / 8, b"a", (20,)) for number in range(8))
    trace, costs = Trace("apart", 1.0, arrivals), made_costs(swings=(1.0, 0.5))
    fleet = Fleet(1, lanes=1, cores=1, on_one_machine=on_one_machine)
    assert latencies(simulated(trace, fleet, costs)) == pytest.approx([0.030, 0.030, 0.060, 0.060] * 2)
    later = Simulation(trace, fleet, costs, made_config(), begin=0.5).run()
    assert latencies(later) == pytest.approx([0.060, 0.060, 0.030, 0.030] * 2)


def test_workers_swing_each_in_its_own_time() -> None:
    both = Trace("both", 1.0, (Arrival(0.0, b"a", (20,)), Arrival(0.001, b"b", (20,))))
    apart = simulated(both, Fleet(2, lanes=1, cores=1), made_costs(swings=(1.0, 0.5)))
    assert latencies(apart) == pytest.approx([0.030, 0.060])


def test_two_bulk_clients_get_the_same() -> None:
    fillers = tuple(Filler(name, 256, 4, (5, 10, 20), 4.0) for name in (b"a", b"b"))
    found = figures(simulated(Trace("two", 4.0, (), fillers), Fleet(2), made_costs(token_s=0.0001)))
    assert found.fairness == pytest.approx(1.0, abs=0.02)
    assert found.urgent_p50_ms is None
