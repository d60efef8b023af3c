"""The accepted work, with workers and a sink that are played: whatever happens, each request is answered right."""

from __future__ import annotations

import json
from collections import Counter, deque
from dataclasses import replace
from math import inf

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from bert_serving.client.errors import ServerBusy
from bert_serving.client.options import NO_OPTIONS, Options
from bert_serving.client.views import View
from bert_serving.client.wire import EncodeRequest
from bert_serving.server.message.assembly import Assembly
from bert_serving.server.message.envelope import Envelope
from bert_serving.server.message.messages import Part
from bert_serving.server.message.tickets import PartKey
from bert_serving.server.ventilator.admission import Admission
from bert_serving.server.ventilator.reading import ReadRequest, read_of
from bert_serving.server.ventilator.work import Work

WORKERS = ["w0", "w1"]
OPTIONS = [NO_OPTIONS, Options(prompt="query"), Options(views=(View("REDUCE_MAX"), View())), Options(truncate="left")]


def make_work(max_queue: int = 10**6) -> Work:
    admission = Admission(max_queue, 10**9)
    return Work(admission, num_workers=2, max_part_rows=40, priority_rows=4, window_rows=100)


def request(number: int, texts: list[str], options: Options = NO_OPTIONS) -> ReadRequest:
    step = make_work().part_rows(len(texts))
    return read_of(EncodeRequest(b"client", b"%d" % number, texts, options), step)


def assigned(work: Work, now_s: float = 0.0) -> list[Part]:
    return [part for _, part in work.assign(now_s)]


class WorkLife(RuleBasedStateMachine):
    """Requests, deaths, lost and late messages in any order; text i of request n stands for the vector [n, i, options],
    the latter being those that the worker was told."""

    def __init__(self) -> None:
        super().__init__()
        self.work = make_work()
        self.now_s = 0.0
        self.asked = 0
        self.wanted: dict[int, int] = {}
        self.totals: dict[int, int] = {}  # of the requests that wait for their answer, by job
        self.hands: dict[str, list[Part]] = {}
        self.said: dict[str, deque[PartKey]] = {}  # Done, under way from a worker
        self.rows: list[tuple[str, Part]] = []  # under way to the sink
        self.assemblies: dict[int, Assembly] = {}
        self.closed: set[int] = set()  # as the sink remembers
        self.received: deque[PartKey] = deque()  # under way from the sink
        self.answers: Counter[int] = Counter()
        self.sink_deaths = 0

    @rule(total=st.integers(1, 150), timeout_s=st.none() | st.integers(1, 20), options=st.sampled_from(OPTIONS))
    def ask(self, total: int, timeout_s: int | None, options: Options) -> None:
        self.asked += 1
        texts = [f"{self.asked} {row}" for row in range(total)]
        timeout_ms = None if timeout_s is None else timeout_s * 1000
        asked = request(self.asked, texts, replace(options, timeout_ms=timeout_ms))
        self.wanted[self.asked] = OPTIONS.index(options)
        assert self.work.accept(asked, self.asked, self.now_s)
        assert not self.work.accept(asked, 10**6 + self.asked, self.now_s)  # asked twice, and not done twice
        self.totals[self.asked] = total

    @rule(worker=st.sampled_from(WORKERS))
    def gain(self, worker: str) -> None:
        if worker not in self.hands:
            self.work.add_worker(worker)
            self.hands[worker], self.said[worker] = [], deque()

    @rule(worker=st.sampled_from(WORKERS), arrives=st.booleans())
    def lose(self, worker: str, arrives: bool) -> None:
        if worker not in self.hands:
            return
        if not arrives:
            self.rows = [(sender, part) for sender, part in self.rows if sender != worker]
        del self.hands[worker], self.said[worker]
        for failed in self.work.lose_worker(worker).poison:
            self.take(failed.envelope, failed.offset, None)

    @rule(times=st.integers(2, 12))
    def strike(self, times: int) -> None:
        """A worker that begins and dies, again and again: its parts are halved, and in the end given up."""
        for _ in range(times):
            self.gain("w0")
            self.dispatch()
            self.lose("w0", arrives=True)

    @rule()
    def dispatch(self) -> None:
        for worker, part in self.work.assign(self.now_s):
            self.hands[worker].append(part)

    @rule(data=st.data())
    def compute(self, data: st.DataObject) -> None:
        if busy := sorted(worker for worker, hand in self.hands.items() if hand):
            worker = data.draw(st.sampled_from(busy))
            part = self.hands[worker].pop(data.draw(st.integers(0, len(self.hands[worker]) - 1)))
            self.said[worker].append(part.key)
            self.rows.append((worker, part))

    @rule(data=st.data())
    def hear_worker(self, data: st.DataObject) -> None:
        if speaking := sorted(worker for worker, said in self.said.items() if said):
            worker = data.draw(st.sampled_from(speaking))
            self.work.finished(worker, self.said[worker].popleft())

    @rule(data=st.data())
    def sink_takes(self, data: st.DataObject) -> None:
        if self.rows:
            _, part = self.rows.pop(data.draw(st.integers(0, len(self.rows) - 1)))
            self.take(part.envelope, part.offset, json.loads(part.texts))

    def take(self, envelope: Envelope, offset: int, texts: list[str] | None) -> None:
        job, total = envelope.job, envelope.total
        if job in self.closed:
            return
        assembly = self.assemblies.setdefault(job, Assembly(total))
        if texts is None:
            assembly.fail(offset, "poison")
        else:
            vectors = np.array([[*text.split(), OPTIONS.index(envelope.options)] for text in texts], float)
            assembly.put(range(offset, offset + len(texts)), vectors)
        if not assembly.complete:
            self.received.append(PartKey(job, offset))
            return
        del self.assemblies[job]
        self.closed.add(job)
        if not assembly.failures:
            assert assembly.result(None).tolist() == [[job, row, self.wanted[job]] for row in range(total)]
        self.answers[job] += 1
        self.totals.pop(job, None)
        self.work.delivered(job, is_kept=job % 3 == 0, now_s=self.now_s)

    @rule()
    def hear_sink(self) -> None:
        if self.received:
            self.work.received(self.received.popleft())

    @rule()
    def lose_sink(self) -> None:
        self.sink_deaths += 1
        self.rows.clear()
        self.assemblies.clear()
        self.closed.clear()
        self.received.clear()
        for hand in self.hands.values():
            hand.clear()  # NewSink tells them to
        for job in self.work.lose_sink():
            del self.totals[int(job.key.request_id)]
        for failed in self.work.poison():
            self.take(failed.envelope, failed.offset, None)

    @rule(seconds=st.integers(1, 10))
    def wait(self, seconds: int) -> None:
        self.now_s += seconds
        for job in self.work.expired(self.now_s):
            assert job.deadline_s <= self.now_s
            del self.totals[job.number]
            self.closed.add(job.number)
            self.assemblies.pop(job.number, None)

    @invariant()
    def the_account_is_right(self) -> None:
        assert {job.number: job.total for job in self.work} == self.totals
        assert self.work._admission.rows == sum(self.totals.values())
        assert self.work.next_deadline_s == min((job.deadline_s for job in self.work), default=inf)

    def teardown(self) -> None:
        """In quiet all that is open comes out, each once."""
        for worker in WORKERS:
            self.gain(worker)
        for worker, said in self.said.items():  # what is under way arrives
            while said:
                self.work.finished(worker, said.popleft())
        while self.received:
            self.hear_sink()
        while len(self.work):
            for worker, said in self.said.items():
                while said:
                    self.work.finished(worker, said.popleft())
            self.dispatch()
            assert any(self.hands.values()) or self.rows, f"{self.totals} wait for nothing"
            for worker, hand in self.hands.items():
                while hand:
                    part = hand.pop(0)
                    self.work.finished(worker, part.key)
                    self.rows.append((worker, part))
            while self.rows:
                _, part = self.rows.pop(0)
                self.take(part.envelope, part.offset, json.loads(part.texts))
            while self.received:
                self.hear_sink()
        assert max(self.answers.values(), default=1) == 1


TestWorkLife = WorkLife.TestCase
TestWorkLife.settings = settings(max_examples=150, stateful_step_count=40)


def test_a_full_queue_says_so_and_has_room_after_an_answer_or_a_deadline() -> None:
    work = make_work(max_queue=10)
    work.accept(request(1, ["a"] * 6), 1, 0.0)
    with pytest.raises(ServerBusy, match="6 texts are in progress, and 5 more"):
        work.accept(request(2, ["a"] * 5), 2, 0.0)
    work.delivered(1, is_kept=False, now_s=0.0)
    work.accept(request(2, ["a"] * 5, Options(timeout_ms=1000)), 3, 0.0)
    with pytest.raises(ServerBusy):
        work.accept(request(3, ["a"] * 6), 4, 0.5)
    assert work.next_deadline_s == 1.0
    assert [job.key.request_id for job in work.expired(1.0)] == [b"2"]
    work.accept(request(3, ["a"] * 6), 5, 1.0)


def test_what_expired_goes_to_no_worker() -> None:
    work = make_work()
    work.accept(request(1, ["a"] * 5, Options(timeout_ms=1000)), 1, 0.0)
    work.accept(request(2, ["a"] * 5, Options(timeout_ms=9000)), 2, 0.0)
    work.expired(2.0)
    work.add_worker("w0")
    assert [(part.envelope.request_id, part.timeout_ms) for part in assigned(work, 2.0)] == [(b"2", 7000)]


def test_a_suspect_that_expired_holds_up_no_other() -> None:
    work = make_work()
    work.accept(request(1, ["a"] * 5), 1, 0.0)
    work.accept(request(2, ["a"], Options(timeout_ms=1000)), 2, 0.0)
    for _ in range(2):
        work.add_worker("w0")
        assert len(assigned(work)) == 2
        work.lose_worker("w0")
    work.expired(1.0)
    work.add_worker("w0")
    assert [part.envelope.request_id for part in assigned(work, 1.0)] == [b"1"]


def test_the_same_request_is_not_done_again_while_its_answer_is_kept() -> None:
    work = make_work()
    work.add_worker("w0")
    work.accept(request(1, ["a"]), 1, 0.0)
    assert len(assigned(work)) == 1
    work.delivered(1, is_kept=True, now_s=0.0)
    work.accept(request(1, ["a"]), 2, 0.0)
    assert assigned(work) == []
    work.accept(request(1, ["other text"]), 3, 0.0)  # of another client with the same identity
    assert len(assigned(work)) == 1
    work.left(1)
    work.accept(request(1, ["a"]), 4, 0.0)
    assert len(assigned(work)) == 1


def test_the_same_texts_with_other_options_are_another_request_unless_it_is_the_timeout() -> None:
    work = make_work()
    asked = request(1, ["a"])
    assert work.accept(replace(asked, options=Options(timeout_ms=900)), 1, 0.0)
    assert not work.accept(replace(asked, options=Options(timeout_ms=500)), 2, 0.0)
    assert work.accept(replace(asked, options=Options(prompt="query: ")), 3, 0.0)
    assert not work.accept(replace(asked, options=Options(timeout_ms=500, prompt="query: ")), 4, 0.0)
    assert work.accept(replace(asked, options=Options(prompt="passage: ")), 5, 0.0)
    work.add_worker("w0")
    options = [part.envelope.options for part in assigned(work)]
    assert options == [NO_OPTIONS, Options(prompt="query: "), Options(prompt="passage: ")]


def test_what_a_dead_sink_kept_is_done_again_when_it_is_asked_for() -> None:
    work = make_work()
    work.add_worker("w0")
    work.accept(request(1, ["a"]), 1, 0.0)
    assert len(assigned(work)) == 1
    work.delivered(1, is_kept=True, now_s=0.0)
    work.lose_sink()
    work.accept(request(1, ["a"]), 2, 0.0)
    assert len(assigned(work)) == 1


def test_a_request_that_ends_each_sink_runs_alone_and_is_given_up() -> None:
    work = make_work()
    work.add_worker("w0")
    work.accept(request(1, ["harmless"]), 1, 0.0)
    work.accept(request(2, ["deadly"]), 2, 0.0)
    for _ in range(2):  # both are there
        for part in assigned(work):
            work.finished("w0", PartKey(part.envelope.job, 0))
        assert work.lose_sink() == []
    work.accept(request(3, ["another"]), 3, 0.0)
    assert [part.envelope.job for part in assigned(work)] == [1]
    work.delivered(1, is_kept=False, now_s=0.0)
    given_up = []
    for _ in range(2):
        assert [part.envelope.job for part in assigned(work)] == [2]
        work.finished("w0", PartKey(2, 0))
        given_up += work.lose_sink()
    assert [job.number for job in given_up] == [2]
    assert [part.envelope.job for part in assigned(work)] == [3]


def test_turns_go_by_connections_however_many_names_one_has() -> None:
    work = make_work()
    for number in range(1, 20):
        flood = replace(request(number, ["a"] * 5), identity=b"name %d" % number, connection=7)
        work.accept(flood, number, 0.0)
    work.accept(replace(request(50, ["a"] * 5), identity=b"good", connection=8), 50, 0.0)
    work.add_worker("w0")
    assert [part.envelope.job for part in assigned(work)][:3] == [1, 50, 2]
