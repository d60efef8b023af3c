"""Load: threads that ask a server, and note when they asked and when the answer came. Only this reads the clock.

closed loop   each client sends its next request when the last one is answered, as in 1.10
open loop     requests leave at scheduled times, whether or not earlier ones were answered
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field

from bert_serving.client import BertServingError
from bert_serving.server.benchmark.figures import Arrivals, Sample, account
from bert_serving.server.benchmark.targets import Session, TargetError
from bert_serving.server.benchmark.workloads import TextPool

MOST_IN_FLIGHT = 512
"""Requests of an open loop that may be unanswered at once; later ones wait here, and their time counts."""

BULK_IN_FLIGHT = 2
"""Requests that the bulk client has in progress: with one the server would be idle while an answer travels."""

_LEAD_S = 0.05


@dataclass
class Closed:
    """A closed loop: what was answered, in the order of answers, and the errors of requests that were not."""

    began_s: float
    ended_s: float
    samples: list[Sample] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)


@dataclass
class Open:
    """An open loop: by request, the clock's time of its schedule and of its sending, and its answer if there was one.

    `ended_s` is when it was no longer awaited.
    """

    began_s: float
    ended_s: float
    scheduled_s: list[float]
    sent_s: list[float]
    answers: list[Sample | None]
    errors: list[str] = field(default_factory=list)

    def arrivals(self) -> Arrivals:
        """The latencies, see `figures.account`."""
        answered_s = [None if answer is None else answer.ended_s for answer in self.answers]
        return account(self.scheduled_s, answered_s, self.ended_s)


def closed_loop(sessions: Sequence[Session], pool: TextPool, size: int, duration_s: float) -> Closed:
    """One client for each session sends requests of `size` texts for `duration_s`; those in progress are awaited.

    How long they are awaited is up to the timeout of the sessions. A client whose request fails stops.
    """
    began_s = time.perf_counter() + _LEAD_S
    result = Closed(began_s, began_s + duration_s)

    def goes_on() -> bool:
        return time.perf_counter() < result.ended_s

    with ThreadPoolExecutor(len(sessions)) as clients:
        running = [
            clients.submit(_client, session, pool, size, (number, len(sessions)), result, goes_on)
            for number, session in enumerate(sessions)
        ]
    _raise_bugs(running)
    return result


def _client(
    session: Session, pool: TextPool, size: int, turn: tuple[int, int], result: Closed, goes_on: Callable[[], bool]
) -> None:
    """Sends every step-th request from the number-th on, so that no two clients send the same texts at once."""
    number, step = turn
    _sleep_until(result.began_s)
    while goes_on():
        texts, known = pool.request(number, size)
        number += step
        began_s = time.perf_counter()
        try:
            told = session.encode(texts)
        except (BertServingError, TargetError) as error:
            result.errors.append(str(error))
            return
        result.samples.append(Sample(began_s, time.perf_counter(), size, told if known is None else known))


def open_loop(session: Session, pool: TextPool, schedule: Sequence[float], duration_s: float) -> Open:
    """Requests of one text at the times of `schedule` (seconds from the start); then wait `duration_s` at most.

    It closes the session, so that nothing is left waiting.
    """
    began_s = time.perf_counter() + _LEAD_S
    number = len(schedule)
    result = Open(began_s, began_s + duration_s, [began_s + offset for offset in schedule], [], [None] * number)
    with ThreadPoolExecutor(MOST_IN_FLIGHT) as senders:
        asked: list[Future[None]] = []
        for place, when_s in enumerate(result.scheduled_s):
            _sleep_until(when_s)
            result.sent_s.append(time.perf_counter())
            asked.append(senders.submit(_one, session, pool, place, result.answers, result.errors))
        wait(asked, max(0.0, result.ended_s + duration_s - time.perf_counter()))
        result.ended_s = max(time.perf_counter(), result.ended_s)
        # what comes after the end goes into lists that nobody reads
        result.answers, result.errors = list(result.answers), list(result.errors)
        senders.shutdown(wait=False, cancel_futures=True)
        session.close()
    _raise_bugs(asked)
    return result


def _one(session: Session, pool: TextPool, place: int, answers: list[Sample | None], errors: list[str]) -> None:
    texts, known = pool.request(place, 1)
    began_s = time.perf_counter()
    try:
        told = session.encode(texts)
    except (BertServingError, TargetError) as error:
        errors.append(str(error))
        return
    answers[place] = Sample(began_s, time.perf_counter(), 1, told if known is None else known)


def beside_bulk(
    bulk: Session, size: int, interactive: Session, pool: TextPool, schedule: Sequence[float], duration_s: float
) -> tuple[Closed, Open]:
    """An open loop while another client keeps the server full with requests of `size` texts."""
    stop = threading.Event()
    filling = Closed(time.perf_counter(), 0.0)

    def goes_on() -> bool:
        return not stop.is_set()

    with ThreadPoolExecutor(BULK_IN_FLIGHT) as clients:
        running = [
            clients.submit(_client, bulk, pool, size, (number, BULK_IN_FLIGHT), filling, goes_on)
            for number in range(BULK_IN_FLIGHT)
        ]
        try:
            time.sleep(min(1.0, duration_s / 2))  # until the server is full
            singles = open_loop(interactive, pool, schedule, duration_s)
        finally:
            stop.set()
    _raise_bugs(running)
    filling.began_s, filling.ended_s = singles.began_s, singles.began_s + duration_s
    return filling, singles


def _raise_bugs(threads: Sequence[Future[None]]) -> None:
    """An error that is not one of the server's would otherwise vanish with its thread."""
    for thread in threads:
        if not thread.cancelled():
            thread.result()


def _sleep_until(when_s: float) -> None:
    while (left := when_s - time.perf_counter()) > 0:
        time.sleep(left)
