"""Stages of requests are counted by duration, and quantiles are those of late."""

from __future__ import annotations

from bert_serving.server.transport.meeting import GATEWAY_CLIENT
from bert_serving.server.ventilator.durations import BOUNDS_S, Durations
from bert_serving.server.ventilator.stats import LATENCY_WINDOW_S, Statistic


def test_a_duration_counts_under_the_first_bound_that_it_does_not_exceed() -> None:
    durations = Durations()
    for took_s in (0.0, BOUNDS_S[0], BOUNDS_S[0] * 1.01, BOUNDS_S[-1] + 1):
        durations.add("queue", took_s)
    status = durations.as_status()
    assert status["queue"]["counts"] == [2, 1, *[0] * (len(BOUNDS_S) - 2), 1]
    assert status["queue"]["sum_s"] == round(2.01 * BOUNDS_S[0] + BOUNDS_S[-1] + 1, 6)
    assert sum(status["compute"]["counts"]) == 0


def test_quantiles_forget_what_is_long_ago() -> None:
    statistic = Statistic()
    statistic.answered(5.0, now_s=0.0)
    statistic.answered(0.5, now_s=LATENCY_WINDOW_S / 2)
    assert statistic.as_latency(LATENCY_WINDOW_S / 2)["p99_ms"] == 5000
    assert statistic.as_latency(LATENCY_WINDOW_S)["p99_ms"] == 500
    old = statistic.as_latency(2 * LATENCY_WINDOW_S)
    assert old["answered"] == 2
    assert "p50_ms" not in old


def test_a_gateways_own_clients_are_no_clients() -> None:
    statistic = Statistic()
    gateway, other = GATEWAY_CLIENT + b"1f", b"an application"
    statistic.sys_request(gateway, 0.0)
    statistic.data_request(gateway, 3, 0.0)
    statistic.data_request(other, 4, 0.0)
    statistic.refused(gateway)
    statistic.refused(other)
    status, latency = statistic.as_status(1.0), statistic.as_latency(1.0)
    assert (status["num_active_client"], status["num_total_client"]) == (1, 1)
    assert (status["num_data_request"], status["num_total_seq"], status["num_sys_request"]) == (2, 7, 1)
    assert (latency["refused"], latency["refused_by_http"]) == (2, 1)
