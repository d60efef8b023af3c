"""The load of a simulation."""

from __future__ import annotations

from collections import Counter

from scaling.trace import Filler, bulk_beside_interactive, bursts, poisson

LENGTHS = (5, 10, 20)


def test_the_same_seed_gives_the_same_arrivals() -> None:
    made = poisson(50.0, 2.0, LENGTHS, seed=3, rows=2, clients=4)
    assert made == poisson(50.0, 2.0, LENGTHS, seed=3, rows=2, clients=4)
    assert made != poisson(50.0, 2.0, LENGTHS, seed=4, rows=2, clients=4)
    assert [arrival.at_s for arrival in made] == sorted(arrival.at_s for arrival in made)
    assert {len(arrival.lengths) for arrival in made} == {2}
    assert len({arrival.client for arrival in made}) == 4
    assert {length for arrival in made for length in arrival.lengths} == set(LENGTHS)


def test_a_burst_comes_at_once_and_from_as_many_clients() -> None:
    made = bursts(0.5, 3, 2.0, LENGTHS, seed=1)
    assert Counter(arrival.at_s for arrival in made) == {0.0: 3, 0.5: 3, 1.0: 3, 1.5: 3}
    assert len({arrival.client for arrival in made}) == 3


def test_a_filler_goes_on_where_its_request_before_ended() -> None:
    filler = Filler(b"a", 2, 1, (1, 2, 3, 4, 5), 1.0)
    first, second = filler.request(7), filler.request(8)
    assert len(first) == 2
    assert second[0] == first[1] % 5 + 1


def test_bulk_grows_with_the_workers() -> None:
    for workers, groups in ((1, 1), (2, 1), (8, 4), (1000, 500)):
        trace = bulk_beside_interactive(LENGTHS, workers=workers, duration_s=0.1, seed=1)
        assert len(trace.fillers) == 3 * groups
        assert {filler.rows * filler.in_flight for filler in trace.fillers} == {256}
