"""The statistic has 1.10's fields and counts right."""

from __future__ import annotations

from bert_serving.server.ventilator import stats
from bert_serving.server.ventilator.stats import Statistic


def test_fields_of_1_10() -> None:
    statistic = Statistic()
    statistic.sys_request(b"a", 0.0)
    for now_s, identity, size in [(1.0, b"a", 5), (1.5, b"b", 5), (3.5, b"a", 20)]:
        statistic.data_request(identity, size, now_s)
    status = statistic.as_status(now_s=182.0)
    counts: dict[str, float] = {
        "num_data_request": 3,
        "num_total_seq": 30,
        "num_sys_request": 1,
        "num_total_request": 4,
        "num_total_client": 2,
        "num_active_client": 1,
    }
    expected = {
        "request_per_client": (1.5, 1, 2, 1, 1),
        "size_per_request": (10.0, 5, 20, 2, 1),
        "last_two_interval": (1.25, 0.5, 2.0, 1, 1),
        "request_per_second": (1.25, 0.5, 2.0, 1, 1),
    }
    for name, values in expected.items():
        counts |= {
            f"{kind}_{name}": value
            for kind, value in zip(("avg", "min", "max", "num_min", "num_max"), values, strict=True)
        }
    assert status == counts


def test_requests_and_texts_by_key_are_bounded_by_the_keys_that_there_are() -> None:
    statistic = Statistic()
    for name, size in (("bob", 1), ("alice", 5), (None, 7), ("alice", 20)):
        statistic.data_request(b"a", size, 0.0, name)
    alice, bob = {"requests": 2, "texts": 25}, {"requests": 1, "texts": 1}
    assert statistic.as_keys({"alice", "bob", "carol"}) == {"alice": alice, "bob": bob}
    assert statistic.as_keys({"bob"}) == {"bob": bob}
    assert statistic.as_keys({"alice", "bob"}) == {"bob": bob}, "a new key of an old name begins anew"
    assert statistic.as_keys(frozenset()) == {}


def test_a_new_service_has_counts_alone() -> None:
    assert Statistic().as_status(0.0)["num_total_request"] == 0


def test_memory_is_bounded_by_the_clients_that_are_told_apart() -> None:
    statistic = Statistic()
    for number in range(stats.MAX_CLIENTS + 50):
        statistic.data_request(b"%d" % number, 1, float(number))
    assert len(statistic._last_seen_s) == len(statistic._requests) == stats.MAX_CLIENTS
    assert statistic.as_status(0.0)["num_total_client"] == stats.MAX_CLIENTS + 50
