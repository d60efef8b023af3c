"""The load, against sessions that only pretend. No absolute time is asserted."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from bert_serving.server.benchmark.load import BULK_IN_FLIGHT, beside_bulk, closed_loop, open_loop
from bert_serving.server.benchmark.targets import TargetError
from bert_serving.server.benchmark.workloads import TextPool

POOL = TextPool(("a", "b", "c", "d"), (1, 2, 3, 4))
PATIENCE_S = 60.0
"""No loop takes so long: each ends when all is answered."""
MEASURED_S = 0.5
"""How long a closed loop asks: long enough for a client that gets no core at once."""


class Pretender:
    """A session that answers after `delay_s`, one request at a time if `serial`, and not at all while it is held."""

    def __init__(self, delay_s: float = 0.001, *, serial: bool = False) -> None:
        self.asked: list[list[str]] = []
        self.answered_s: dict[str, float] = {}
        self.freed_s = 0.0
        self.closed = False
        self.free = threading.Event()
        self.free.set()
        self.broken = False
        self._delay_s = delay_s
        self._turn = threading.Semaphore(1 if serial else 1000)

    def encode(self, texts: Sequence[str]) -> int | None:
        self.asked.append(list(texts))
        with self._turn:
            self.free.wait(PATIENCE_S)
            time.sleep(self._delay_s)
            self.answered_s[texts[0]] = time.perf_counter()
        if self.broken or self.closed:
            raise TargetError("it broke")
        return None

    def close(self) -> None:
        self.closed = True
        self.free.set()


def test_each_client_of_a_closed_loop_waits_for_its_answer() -> None:
    sessions = [Pretender(), Pretender()]
    done = closed_loop(sessions, POOL, 2, MEASURED_S)
    assert done.errors == []
    assert len(done.samples) == sum(len(session.asked) for session in sessions)
    assert {(sample.sentences, sample.tokens) for sample in done.samples} == {(2, 3), (2, 7)}
    assert all(done.began_s <= sample.began_s < done.ended_s for sample in done.samples)
    assert [session.asked[0] for session in sessions] == [["a", "b"], ["c", "d"]]


def test_a_client_whose_request_fails_stops_and_the_others_go_on() -> None:
    broken, fine = Pretender(), Pretender()
    broken.broken = True
    done = closed_loop([broken, fine], POOL, 1, MEASURED_S)
    assert done.errors == ["it broke"]
    assert len(broken.asked) == 1
    assert len(done.samples) == len(fine.asked) > 1


def test_a_bug_does_not_vanish_with_its_thread() -> None:
    class Buggy(Pretender):
        def encode(self, texts: Sequence[str]) -> int | None:
            raise KeyError("a bug")

    with pytest.raises(KeyError):
        closed_loop([Buggy()], POOL, 1, MEASURED_S)


def test_an_open_loop_sends_on_although_nothing_is_answered() -> None:
    session, number = Pretender(0), 40
    session.free.clear()

    def answer_when_all_are_sent() -> None:
        while len(session.asked) < number:
            time.sleep(0.001)
        session.freed_s = time.perf_counter()
        session.free.set()

    with ThreadPoolExecutor(1) as answering:
        answering.submit(answer_when_all_are_sent)
        done = open_loop(session, POOL, [place / 100 for place in range(number)], PATIENCE_S)
    assert session.closed
    assert None not in done.answers
    assert all(sent >= due for sent, due in zip(done.sent_s, done.scheduled_s, strict=True))
    # the first one waited for the whole stall, those after it less and less, each by its schedule
    for latency_s, due_s in zip(done.arrivals().latencies_s, done.scheduled_s, strict=True):
        assert latency_s >= session.freed_s - due_s


def test_latency_counts_from_the_schedule_where_the_server_takes_one_at_a_time() -> None:
    session, number = Pretender(0.02, serial=True), 20
    texts = TextPool(tuple(map(str, range(number))), (1,) * number)
    done = open_loop(session, texts, [place / 100 for place in range(number)], PATIENCE_S)
    for place, latency_s in enumerate(done.arrivals().latencies_s):
        assert latency_s >= session.answered_s[str(place)] - done.scheduled_s[place]
    assert max(done.arrivals().latencies_s) >= number * 0.02 - done.scheduled_s[-1] + done.scheduled_s[0]


def test_what_is_not_answered_until_the_end_stays_unanswered() -> None:
    session = Pretender()
    session.free.clear()  # `close` frees it, and what comes then comes too late
    done = open_loop(session, POOL, [0.0, 0.05], 0.1)
    assert done.answers == [None, None]
    assert done.errors == []
    assert done.ended_s > done.scheduled_s[-1]


def test_bulk_goes_on_as_long_as_the_interactive_client_asks() -> None:
    bulk, single = Pretender(0.01), Pretender()
    filling, singles = beside_bulk(bulk, 3, single, POOL, [0.0, 0.1, 0.2], PATIENCE_S)
    assert None not in singles.answers
    assert [len(texts) for texts in single.asked] == [1, 1, 1]
    assert {len(texts) for texts in bulk.asked} == {3}
    assert len(filling.samples) == len(bulk.asked) > BULK_IN_FLIGHT
    assert filling.samples[0].began_s < filling.began_s < filling.samples[-1].ended_s
